// Owners for a SQLite database and its statements. The only place, with its source, that includes
// <sqlite3.h>.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ridgeline::collector {

class Database;

// A prepared statement. Bind in order from 1, step, read columns from 0; reset() to use it again.
class Statement {
  public:
    Statement& bind(int index, std::int64_t value);
    Statement& bind(int index, double value);
    Statement& bind(int index, std::string_view text);
    Statement& bind_null(int index);

    Result<bool> step();  // true: there is a row
    void reset();

    std::int64_t integer(int column) const;
    double real(int column) const;
    std::string text(int column) const;
    bool is_null(int column) const;

  private:
    friend class Database;
    struct Finalizer {
        void operator()(sqlite3_stmt* statement) const;
    };
    std::unique_ptr<sqlite3_stmt, Finalizer> statement_;
};

class Database {
  public:
    // In WAL mode. A power cut never leaves half of a transaction; with `recent_may_go` it may lose
    // the last ones (synchronous=NORMAL), which suits what is worked out again from the log, else
    // each is durable when it returns.
    enum class Durability { recent_may_go, each };
    static Result<Database> open(const std::filesystem::path& file, Durability durability);

    Result<void> execute(const std::string& sql);
    Result<Statement> prepare(std::string_view sql);
    std::int64_t last_insert_id() const;

  private:
    struct Closer {
        void operator()(sqlite3* database) const;
    };
    std::unique_ptr<sqlite3, Closer> database_;
};

}  // namespace ridgeline::collector

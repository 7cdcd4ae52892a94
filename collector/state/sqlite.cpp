#include "collector/state/sqlite.h"

#include <array>
#include <fstream>

#include <sqlite3.h>

namespace ridgeline::collector {

namespace {

tl::unexpected<Error> database_fail(sqlite3* database, std::string_view what) {
    const int code = sqlite3_errcode(database);
    const bool damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
    return fail(damaged ? Errc::corrupt : Errc::io,
                std::string(what) + ": " + sqlite3_errmsg(database));
}

// Whether the file has fewer pages than its header counts (sqlite.org/fileformat2.html, 1.3).
// SQLite sees that only when it comes to one that is missing, which may be with every write. While
// there is a write-ahead log, the rest may be in that.
bool is_cut_short(const std::filesystem::path& file) {
    // The header first, the size last: another process may write, and a database only grows. One
    // that is checkpointed meanwhile is whole by the time its size is seen.
    std::array<unsigned char, 100> header{};
    std::ifstream in(file, std::ios::binary);
    const bool whole_header =
        !in.read(reinterpret_cast<char*>(header.data()), header.size()).fail();
    std::error_code error;
    const auto log_size = std::filesystem::file_size(file.string() + "-wal", error);
    if (!error && log_size > 0) return false;
    const auto size = std::filesystem::file_size(file, error);
    if (error || size == 0) return false;
    if (!whole_header) return true;
    const auto number = [&](std::size_t at, std::size_t bytes) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes; ++i)
            value = value << 8U | header[at + i];
        return value;
    };
    const std::uint64_t page = number(16, 2) == 1 ? 65'536 : number(16, 2);
    const bool counted = number(24, 4) == number(92, 4);  // else by a version that did not
    return counted && page * number(28, 4) > size;
}

}  // namespace

void Statement::Finalizer::operator()(sqlite3_stmt* statement) const {
    sqlite3_finalize(statement);
}
void Database::Closer::operator()(sqlite3* database) const {
    sqlite3_close_v2(database);
}

Statement& Statement::bind(int index, std::int64_t value) {
    sqlite3_bind_int64(statement_.get(), index, value);
    return *this;
}
Statement& Statement::bind(int index, double value) {
    sqlite3_bind_double(statement_.get(), index, value);
    return *this;
}
Statement& Statement::bind(int index, std::string_view text) {
    sqlite3_bind_text(statement_.get(), index, text.data(), static_cast<int>(text.size()),
                      SQLITE_TRANSIENT);
    return *this;
}
Statement& Statement::bind_null(int index) {
    sqlite3_bind_null(statement_.get(), index);
    return *this;
}

Result<bool> Statement::step() {
    const int code = sqlite3_step(statement_.get());
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return database_fail(sqlite3_db_handle(statement_.get()), "database");
}

void Statement::reset() {
    sqlite3_reset(statement_.get());
    sqlite3_clear_bindings(statement_.get());
}

std::int64_t Statement::integer(int column) const {
    return sqlite3_column_int64(statement_.get(), column);
}
double Statement::real(int column) const {
    return sqlite3_column_double(statement_.get(), column);
}
std::string Statement::text(int column) const {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
    return text == nullptr ? std::string()
                           : std::string(text, static_cast<std::size_t>(
                                                   sqlite3_column_bytes(statement_.get(), column)));
}
bool Statement::is_null(int column) const {
    return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

Result<Database> Database::open(const std::filesystem::path& file, Durability durability) {
    if (is_cut_short(file)) return fail(Errc::corrupt, file.string() + ": cut short");
    Database database;
    sqlite3* raw = nullptr;
    const int code =
        sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
    database.database_.reset(raw);
    if (code != SQLITE_OK) return database_fail(raw, file.string());
    sqlite3_busy_timeout(raw, 1000);
    const std::string synchronous = durability == Durability::each ? "FULL" : "NORMAL";
    RL_TRY(database.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=" + synchronous +
                            "; PRAGMA foreign_keys=ON;"));
    return database;
}

Result<void> Database::execute(const std::string& sql) {
    if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
        return database_fail(database_.get(), "database");
    }
    return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()), &raw,
                           nullptr) != SQLITE_OK) {
        return database_fail(database_.get(), "database");
    }
    Statement statement;
    statement.statement_.reset(raw);
    return statement;
}

std::int64_t Database::last_insert_id() const {
    return sqlite3_last_insert_rowid(database_.get());
}

}  // namespace ridgeline::collector

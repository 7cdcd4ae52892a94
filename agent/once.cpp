#include "agent/once.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <ostream>

#include "common/base/json_writer.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/metric/catalog.h"

namespace ridgeline::agent {

namespace {

constexpr std::chrono::milliseconds kBetweenReadings{1000};

// Keeps the last value of each series, by slot.
class LastValues final : public Recorder {
  public:
    struct Entry {
        SeriesDescriptor series;
        std::optional<double> value;
        bool retired = false;
    };

    SlotId declare(std::string_view metric, Attributes attributes) override {
        normalise(attributes);
        entries_.push_back({{std::string(metric), std::move(attributes)}, {}, false});
        return static_cast<SlotId>(entries_.size() - 1);
    }
    void retire(SlotId slot) override { entries_[static_cast<std::size_t>(slot)].retired = true; }
    void record(SlotId slot, double value) override {
        if (std::isfinite(value)) entries_[static_cast<std::size_t>(slot)].value = value;
    }
    void forget_values() {
        for (Entry& entry : entries_)
            entry.value.reset();
    }
    const std::vector<Entry>& entries() const { return entries_; }

  private:
    std::vector<Entry> entries_;
};

struct Sampled {
    std::string source;
    std::string error;
    LastValues values;
};

void read_into(Sampled& sampled, Source& source, const Clock& clock) {
    sampled.values.forget_values();
    sampled.error.clear();
    const auto read = source.read({clock.wall_now(), clock.mono_now()});
    if (!read) sampled.error = read.error().context;
    if (read || source.emits_after_error()) source.emit(sampled.values);
}

std::string attributes_text(const Attributes& attributes) {
    std::string out;
    for (const Attribute& attribute : attributes) {
        if (!out.empty()) out += ' ';
        out += attribute.key + '=' + printable(attribute.value, 200);
    }
    return out;
}

std::string value_text(const MetricInfo* metric, double value) {
    if (metric == nullptr) return shortest(value);
    if (metric->name == "tls.certificate.expiry_time" || metric->name == "system.boot_time") {
        return format_rfc3339(from_unix_ms(static_cast<std::int64_t>(value) * 1000));
    }
    if (metric->unit == "1" && metric->help.starts_with("1 ")) return value != 0 ? "yes" : "no";
    return format_quantity(value, metric->unit);
}

// Certificates are read by people as a list, soonest first, each with what was found beside its
// dates.
void print_certificates(const Sampled& sampled, std::ostream& out) {
    struct Row {
        double remaining = 0;
        double expiry = 0;
        const Attributes* attributes = nullptr;
    };
    const auto attribute = [](const Attributes& attributes, std::string_view key) {
        const std::string* value = find_attribute(attributes, key);
        return value == nullptr ? std::string() : printable(*value, 200);
    };
    const auto place_of = [&](const Attributes& attributes) {
        return attribute(attributes, "path") + attribute(attributes, "endpoint");
    };
    std::map<std::string, Row> rows;
    std::map<std::string, std::string> findings;  // by place
    std::vector<std::string> unreadable;
    for (const auto& entry : sampled.values.entries()) {
        if (!entry.value || entry.retired) continue;
        const auto& [metric, attributes] = entry.series;
        if (metric == "tls.certificate.readable") {
            if (*entry.value == 0) unreadable.push_back(place_of(attributes));
        } else if (metric == "tls.certificate.finding") {
            if (*entry.value != 0)
                findings[place_of(attributes)] += " " + attribute(attributes, "reason");
        } else {
            Row& row = rows[to_string(SeriesDescriptor{"", attributes})];
            row.attributes = &attributes;
            if (metric == "tls.certificate.remaining_time") row.remaining = *entry.value;
            if (metric == "tls.certificate.expiry_time") row.expiry = *entry.value;
        }
    }
    std::vector<Row> sorted;
    for (const auto& [key, row] : rows)
        sorted.push_back(row);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Row& a, const Row& b) { return a.remaining < b.remaining; });
    out << "  DAYS LEFT  EXPIRES               SUBJECT\n";
    for (const Row& row : sorted) {
        std::string days =
            std::to_string(static_cast<std::int64_t>(std::floor(row.remaining / 86400)));
        days.insert(0, days.size() < 9 ? 9 - days.size() : 0, ' ');
        const std::string place = place_of(*row.attributes);
        const std::string kind = attribute(*row.attributes, "kind");
        out << "  " << days << "  "
            << format_rfc3339(from_unix_ms(static_cast<std::int64_t>(row.expiry) * 1000)) << "  "
            << attribute(*row.attributes, "subject") << "\n             " << place;
        if (attribute(*row.attributes, "position") != "0")
            out << " (" << kind << ", certificate " << attribute(*row.attributes, "position")
                << " of the chain)";
        out << ", issued by " << attribute(*row.attributes, "issuer") << '\n';
        const auto found = findings.find(place);
        if (found != findings.end() && attribute(*row.attributes, "position") == "0")
            out << "             FOUND:" << found->second << '\n';
    }
    for (const std::string& place : unreadable)
        out << "  unreadable  " << place << '\n';
}

void print_table(const std::vector<Sampled>& all, std::ostream& out) {
    for (const Sampled& sampled : all) {
        out << sampled.source << '\n';
        if (!sampled.error.empty()) out << "  error: " << printable(sampled.error) << '\n';
        if (sampled.source == "certificate") {
            print_certificates(sampled, out);
            continue;
        }
        for (const auto& entry : sampled.values.entries()) {
            if (!entry.value || entry.retired) continue;
            std::string name = entry.series.metric;
            name.resize(std::max<std::size_t>(name.size(), 34), ' ');
            std::string value = value_text(find_metric(entry.series.metric), *entry.value);
            value.insert(0, value.size() < 12 ? 12 - value.size() : 0, ' ');
            out << "  " << name << ' ' << value << "  " << attributes_text(entry.series.attributes)
                << '\n';
        }
    }
}

void print_json(const std::vector<Sampled>& all, WallTime now, std::ostream& out) {
    JsonWriter json;
    json.begin_object().field("time", format_rfc3339(now, true));
    json.key("sources").begin_array();
    for (const Sampled& sampled : all) {
        json.begin_object().field("source", sampled.source);
        if (!sampled.error.empty()) json.field("error", sampled.error);
        json.key("samples").begin_array();
        for (const auto& entry : sampled.values.entries()) {
            if (!entry.value || entry.retired) continue;
            json.begin_object().field("metric", entry.series.metric);
            const MetricInfo* metric = find_metric(entry.series.metric);
            if (metric != nullptr) json.field("unit", metric->unit);
            json.key("attributes").begin_object();
            for (const Attribute& attribute : entry.series.attributes)
                json.field(attribute.key, attribute.value);
            json.end_object().field("value", *entry.value).end_object();
        }
        json.end_array().end_object();
    }
    json.end_array().end_object();
    out << json.text() << '\n';
}

std::string label_value(std::string_view text) {
    std::string out;
    for (const char c : printable(text)) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

// Prometheus text exposition format 0.0.4: all samples of a metric in one block under its HELP and
// TYPE.
void print_prometheus(const std::vector<Sampled>& all, std::ostream& out) {
    std::map<std::string, std::vector<const LastValues::Entry*>> by_metric;
    for (const Sampled& sampled : all) {
        for (const auto& entry : sampled.values.entries()) {
            if (entry.value && !entry.retired) by_metric[entry.series.metric].push_back(&entry);
        }
    }
    for (const auto& [name, entries] : by_metric) {
        const MetricInfo* metric = find_metric(name);
        if (metric == nullptr) continue;
        const std::string exposed = prometheus_name(*metric);
        out << "# HELP " << exposed << ' ' << metric->help << "\n# TYPE " << exposed << ' '
            << (metric->kind == MetricKind::counter ? "counter" : "gauge") << '\n';
        for (const auto* entry : entries) {
            out << exposed;
            char separator = '{';
            for (const Attribute& attribute : entry->series.attributes) {
                out << separator << attribute.key << "=\"" << label_value(attribute.value) << '"';
                separator = ',';
            }
            out << (separator == ',' ? "} " : " ") << shortest(*entry->value) << '\n';
        }
    }
}

}  // namespace

int run_once(std::vector<ScheduledSource>& sources, const OnceOptions& options, const Clock& clock,
             const std::function<void(std::chrono::milliseconds)>& sleep, std::ostream& out) {
    std::vector<Sampled> all;
    std::vector<Source*> chosen;
    for (ScheduledSource& scheduled : sources) {
        if (!options.source.empty() && scheduled.source->name() != options.source) continue;
        chosen.push_back(scheduled.source.get());
        all.push_back({std::string(scheduled.source->name()), {}, {}});
    }
    for (std::size_t i = 0; i < all.size(); ++i)
        read_into(all[i], *chosen[i], clock);
    sleep(kBetweenReadings);
    for (std::size_t i = 0; i < all.size(); ++i)
        read_into(all[i], *chosen[i], clock);

    switch (options.format) {
        case OnceFormat::table:
            print_table(all, out);
            break;
        case OnceFormat::json:
            print_json(all, clock.wall_now(), out);
            break;
        case OnceFormat::prometheus:
            print_prometheus(all, out);
            break;
    }
    return std::any_of(all.begin(), all.end(), [](const Sampled& s) { return !s.error.empty(); })
               ? 1
               : 0;
}

}  // namespace ridgeline::agent

#include "collector/http/prometheus_text.h"

#include <algorithm>

#include "common/base/text.h"
#include "common/metric/catalog.h"

namespace ridgeline::collector {

namespace {

void append_labels(std::string& out, const std::vector<Attribute>& labels) {
    char separator = '{';
    for (const Attribute& label : labels) {
        out += separator;
        separator = ',';
        // A label's name may not hold a dot.
        std::string key = label.key;
        std::replace_if(
            key.begin(), key.end(), [](char c) { return c == '.' || c == '-'; }, '_');
        out += key + "=\"";
        for (const char c : printable(label.value)) {
            if (c == '"' || c == '\\') out += '\\';
            out += c;
        }
        out += '"';
    }
    if (!labels.empty()) out += '}';
}

void append_head(std::string& out, const std::string& name, std::string_view help, bool counter) {
    out += "# HELP " + name + ' ' + std::string(help) + "\n# TYPE " + name +
           (counter ? " counter\n" : " gauge\n");
}

}  // namespace

std::string prometheus_text(const std::vector<SelfMetric>& metrics) {
    std::string out;
    for (const SelfMetric& metric : metrics) {
        append_head(out, metric.name, metric.help, metric.counter);
        for (const auto& sample : metric.samples) {
            out += metric.name;
            append_labels(out, sample.labels);
            out += ' ' + shortest(sample.value) + '\n';
        }
    }
    return out;
}

std::string prometheus_text(std::vector<SeriesView> series) {
    std::stable_sort(series.begin(), series.end(),
                     [](const SeriesView& a, const SeriesView& b) { return a.metric < b.metric; });
    std::string out;
    std::string name;
    std::string_view metric_name;
    for (const SeriesView& view : series) {
        const MetricInfo* metric = find_metric(view.metric);
        if (metric == nullptr) continue;
        if (metric->name != metric_name) {
            metric_name = metric->name;
            name = prometheus_name(*metric);
            append_head(out, name, metric->help, metric->kind == MetricKind::counter);
        }
        std::vector<Attribute> labels{{"host", view.host}};
        labels.insert(labels.end(), view.attributes.begin(), view.attributes.end());
        out += name;
        append_labels(out, labels);
        out += ' ' + shortest(view.latest) + ' ' + std::to_string(view.latest_ms) + '\n';
    }
    return out;
}

}  // namespace ridgeline::collector

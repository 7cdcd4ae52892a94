// An ApiModel that answers what it is told.
#pragma once

#include <string>
#include <vector>

#include "collector/http/api_model.h"
#include "collector/http/enrollment_api.h"

namespace ridgeline::test {

class FakeApiModel : public collector::ApiModel, public collector::EnrollmentApi {
  public:
    std::vector<collector::HostView> hosts_answer;
    std::vector<collector::SeriesView> series_answer;
    std::vector<collector::PointView> points_answer;
    std::vector<collector::NotificationTargetView> notification_targets_answer;
    std::string not_ready_answer;
    collector::SeriesFilter last_filter;
    std::int64_t last_from_ms = 0, last_to_ms = 0, last_step_ms = 0;

    std::vector<collector::HostView> hosts() override { return hosts_answer; }
    std::vector<collector::NotificationTargetView> notification_targets() override {
        return notification_targets_answer;
    }
    std::vector<collector::SeriesView> series(const collector::SeriesFilter& filter) override {
        last_filter = filter;
        std::vector<collector::SeriesView> found;
        for (const auto& view : series_answer) {
            if (filter.metric.empty() || filter.metric == view.metric) found.push_back(view);
        }
        return found;
    }
    std::vector<collector::PointView> points(std::uint32_t, std::int64_t from_ms,
                                             std::int64_t to_ms, std::int64_t step_ms) override {
        last_from_ms = from_ms;
        last_to_ms = to_ms;
        last_step_ms = step_ms;
        return points_answer;
    }
    std::vector<collector::SelfMetric> self_metrics() override {
        return {
            {"ridgeline_collector_batches_total", "Batches", true, {{{}, 7}}},
            {"ridgeline_collector_refused_total", "Refused", true, {{{{"reason", "a\"b"}}, 1}}}};
    }
    std::string not_ready() override { return not_ready_answer; }
    std::int64_t now_ms() const override { return 1'772'445'600'000; }  // 2026-03-02T10:00:00Z

    std::vector<collector::TokenView> tokens_answer;
    collector::TokenArgs last_token;
    std::string last_removed, last_revoked, last_renamed, last_name;

    std::vector<collector::TokenView> tokens() override { return tokens_answer; }
    Result<collector::TokenView> create_token(const collector::TokenArgs& args) override {
        last_token = args;
        collector::TokenView view;
        view.id = "0123abcd";
        view.line = "rlt1_secret";
        view.expires_ms = now_ms() + args.lifetime.count();
        view.uses_max = args.uses_max;
        view.tags = args.tags;
        view.endpoints = args.endpoints;
        return view;
    }
    Result<void> remove_token(const std::string& id) override {
        last_removed = id;
        if (id != "0123abcd") return fail(Errc::not_found, "no token " + id);
        return {};
    }
    Result<std::string> revoke_host(const std::string& id) override {
        last_revoked = id;
        if (id == "nobody") return fail(Errc::not_found, "no enrolled host " + id);
        return std::string();
    }
    Result<void> rename_host(const std::string& id, const std::string& name) override {
        last_renamed = id;
        last_name = name;
        return {};
    }
};

}  // namespace ridgeline::test

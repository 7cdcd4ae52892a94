#include "collector/ingest/host_quota.h"

#include "tests/support/catch.h"
#include "tests/support/manual_clock.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;

TEST_CASE("a bucket gives its burst at once and its rate for ever after", "[quota]") {
    test::ManualClock clock;
    TokenBucket bucket(10, 100, clock.mono_now());
    double taken = 0;
    while (bucket.wait(clock.mono_now()) == 0ms) {
        bucket.take(1, clock.mono_now());
        ++taken;
    }
    CHECK(taken == 100);
    for (int second = 0; second < 1000; ++second) {
        clock.advance(1s);
        while (bucket.wait(clock.mono_now()) == 0ms) {
            bucket.take(7, clock.mono_now());  // does not divide the rate: debts carry over
            taken += 7;
        }
    }
    CHECK(taken >= 10'100);
    CHECK(taken < 10'100 + 7);
    clock.advance(1h);
    CHECK(bucket.level(clock.mono_now()) == 100);
}

TEST_CASE("something larger than the bucket passes, and is paid for", "[quota]") {
    test::ManualClock clock;
    TokenBucket bucket(10, 20, clock.mono_now());
    CHECK(bucket.wait(clock.mono_now()) == 0ms);
    bucket.take(50, clock.mono_now());
    CHECK(bucket.wait(clock.mono_now()) == 4s);  // 3 s of debt, and a second's worth
    clock.advance(3999ms);
    CHECK(bucket.level(clock.mono_now()) > 0);
}

TEST_CASE("a debt is forgotten at last", "[quota]") {
    test::ManualClock clock;
    TokenBucket bucket(10, 100, clock.mono_now());
    for (int i = 0; i < 10'000; ++i)
        bucket.take(10, clock.mono_now());
    CHECK(bucket.level(clock.mono_now()) == -400);
}

TEST_CASE("only what is there can be taken in part", "[quota]") {
    test::ManualClock clock;
    TokenBucket bucket(1, 5, clock.mono_now());
    CHECK(bucket.take_up_to(3, clock.mono_now()) == 3);
    CHECK(bucket.take_up_to(1e15, clock.mono_now()) == 2);
    CHECK(bucket.take_up_to(1, clock.mono_now()) == 0);
    clock.advance(1s);
    CHECK(bucket.take_up_to(2, clock.mono_now()) == 1);
}

TEST_CASE("live data and backlog have quotas of their own", "[quota]") {
    test::ManualClock clock;
    QuotaLimits limits;
    limits.samples_per_second = 10;
    limits.backlog_samples_per_second = 100;
    limits.burst = 10s;
    HostQuota quota(limits, clock.mono_now());
    quota.on_samples(true, 1'500, clock.mono_now());
    CHECK(quota.judge(true, clock.mono_now()).wait == 6s);
    CHECK(quota.judge(true, clock.mono_now()).over == "backlog samples");
    CHECK(quota.judge(false, clock.mono_now()).wait == 0s);
    quota.on_samples(false, 100, clock.mono_now());
    CHECK(quota.judge(false, clock.mono_now()).wait == 1s);
    CHECK(quota.judge(false, clock.mono_now()).over == "samples");
}

TEST_CASE("messages and bytes are limited whatever they hold", "[quota]") {
    test::ManualClock clock;
    QuotaLimits limits;
    limits.messages_per_second = 5;
    limits.bytes_per_second = 1'000;
    limits.burst = 2s;
    HostQuota many(limits, clock.mono_now());
    for (int i = 0; i < 30; ++i)
        many.on_message(1, clock.mono_now());
    CHECK(many.judge(false, clock.mono_now()).over == "messages");
    CHECK(many.judge(false, clock.mono_now()).wait == 5s);
    CHECK_FALSE(many.flooding({20, 0}, clock.mono_now()));
    many.on_message(1, clock.mono_now());
    CHECK(many.flooding({20, 0}, clock.mono_now()));
    clock.advance(1s);
    CHECK_FALSE(many.flooding({20, 0}, clock.mono_now()));

    HostQuota large(limits, clock.mono_now());
    large.on_message(6'000, clock.mono_now());
    CHECK(large.judge(true, clock.mono_now()).over == "bytes");
    CHECK(large.judge(true, clock.mono_now()).wait == 5s);
    CHECK(large.flooding({20, 3'999}, clock.mono_now()));
    CHECK_FALSE(large.flooding({20, 4'000}, clock.mono_now()));
}

TEST_CASE("ten refused batches in a row use the burst up", "[quota]") {
    test::ManualClock clock;
    HostQuota quota({}, clock.mono_now());
    for (int i = 0; i < 10; ++i) {
        CHECK(quota.judge(false, clock.mono_now()).wait == 0s);
        quota.on_refused(false, clock.mono_now());
    }
    CHECK(quota.judge(false, clock.mono_now()).wait == 1s);
    CHECK(quota.judge(true, clock.mono_now()).wait == 0s);
}

TEST_CASE("changed limits apply to what is there", "[quota]") {
    test::ManualClock clock;
    QuotaLimits limits;
    limits.samples_per_second = 10;
    limits.burst = 10s;
    HostQuota quota(limits, clock.mono_now());
    HostQuota debtor(limits, clock.mono_now());
    debtor.on_samples(false, 200, clock.mono_now());
    limits.samples_per_second = 50;
    quota.change(limits, clock.mono_now());
    debtor.change(limits, clock.mono_now());
    quota.on_samples(false, 499, clock.mono_now());  // was full, is full
    CHECK(quota.judge(false, clock.mono_now()).wait == 0s);
    CHECK(debtor.judge(false, clock.mono_now()).wait == 3s);  // 100 owed at 50 a second
}

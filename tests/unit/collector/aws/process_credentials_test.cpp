#include "collector/aws/process_credentials.h"

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "collector/aws/uv_program_runner.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/collector/aws/asked.h"
#include "tests/unit/collector/aws/fake_programs.h"

using namespace ridgeline;
using namespace ridgeline::collector;
using namespace std::chrono_literals;
using test::Asked;

namespace {

// Runs a program for real.
Result<ProgramOutput> run(ProgramRequest request) {
    net::Loop loop;
    UvProgramRunner runner(loop);
    std::optional<Result<ProgramOutput>> result;
    runner.run(std::move(request), [&](Result<ProgramOutput> output) {
        result = std::move(output);
        loop.stop();
    });
    CHECK_FALSE(result);  // never before run() has returned
    loop.run();
    return *result;
}

ProgramRequest shell(const std::string& script) {
    ProgramRequest request;
    request.arguments = {"/bin/sh", "-c", script};
    return request;
}

}  // namespace

TEST_CASE("a command is split as a shell splits it, and nothing is expanded", "[process]") {
    using Words = std::vector<std::string>;
    CHECK(*split_command("/opt/keys") == Words{"/opt/keys"});
    CHECK(*split_command("  a\t b  ") == Words{"a", "b"});
    CHECK(*split_command(R"(a "b c" 'd "e' f\ g)") == Words{"a", "b c", "d \"e", "f g"});
    CHECK(*split_command(R"(a "" 'x'y "p\"q\\r\n")") == Words{"a", "", "xy", R"(p"q\r\n)"});
    CHECK(*split_command("a $HOME `id` *;b|c") == Words{"a", "$HOME", "`id`", "*;b|c"});
    for (const char* bad : {"", "  ", "a \"b", "a 'b", "\"\" b"})
        CHECK_FALSE(split_command(bad));
}

TEST_CASE("a program's keys are read, its arguments not shown", "[process]") {
    const test::TempDir dir;
    std::ofstream(dir.path() / "config")
        << "[profile ops]\ncredential_process = keys --password secret\n"
        << "[profile bad]\ncredential_process = keys \"--x\n";
    Environment environment{{"AWS_CONFIG_FILE", (dir.path() / "config").string()}};
    test::FakePrograms programs;
    ProcessCredentials none(environment, programs);
    CHECK(Asked(none).answers.at(0).error().code == Errc::not_found);
    environment["AWS_PROFILE"] = "bad";
    ProcessCredentials bad(environment, programs);
    CHECK(Asked(bad).answers.at(0).error().code == Errc::invalid_argument);

    environment["AWS_PROFILE"] = "ops";
    ProcessCredentials ops(environment, programs);
    const auto answer_to = [&](const auto& answer_it) {
        Asked asked(ops);
        answer_it();
        return asked.answers.at(0);
    };
    const auto good = answer_to([&] {
        CHECK(programs.waiting.at(0).first.arguments ==
              std::vector<std::string>{"keys", "--password", "secret"});
        programs.print(R"({"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","SessionToken":"T",
                           "Expiration":"2026-03-02T11:00:00+00:00"})");
    });
    REQUIRE(good);
    CHECK(good->session_token.text() == "T");
    CHECK(good->expires == from_unix_ms(1'772'449'200'000));
    CHECK(good->origin == "keys, profile ops");

    const auto failed = answer_to([&] { programs.print("", 3, "no such vault"); });
    CHECK(failed.error().code == Errc::unavailable);
    CHECK(failed.error().context == "keys failed with status 3: no such vault");
    const auto gone = answer_to([&] { programs.fail_with(Errc::not_found, "keys: no such file"); });
    CHECK(gone.error().code == Errc::invalid_argument);  // not another source's turn
    for (const char* out :
         {"", "[]", "{}", R"({"Version":2,"AccessKeyId":"A","SecretAccessKey":"S"})",
          R"({"Version":"1","AccessKeyId":"A","SecretAccessKey":"S"})",
          R"({"Version":1,"AccessKeyId":"A"})",
          R"({"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","Expiration":"soon"})",
          R"({"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","SessionToken":"a\nb"})"}) {
        INFO(out);
        CHECK_FALSE(answer_to([&] { programs.print(out); }));
    }
}

TEST_CASE("programs run for real, bounded in time and output", "[process]") {
    const auto spoken = run(shell("echo out; echo err >&2; exit 7"));
    REQUIRE(spoken);
    CHECK(spoken->out.text() == "out\n");
    CHECK(spoken->err == "err");
    CHECK(spoken->status == 7);
    CHECK(run(shell("cat"))->status == 0);  // there is no input

    CHECK(run({{"/nonexistent/keys"}}).error().code == Errc::not_found);
    CHECK(run(shell("kill -9 $$")).error().code == Errc::unavailable);
    ProgramRequest flood = shell("cat /dev/zero");
    CHECK(run(std::move(flood)).error().code == Errc::limit);
    CHECK(run(shell("head -c 200000 /dev/zero >&2; echo ok"))->out.text() == "ok\n");
}

TEST_CASE("a program that does not end is ended, with all that it started", "[process]") {
    const test::TempDir dir;
    const auto pids = dir.path() / "pids";
    ProgramRequest request = shell("sleep 1000 & echo $$ $! > " + pids.string() + "; wait");
    request.timeout = 2s;
    const auto result = run(std::move(request));
    CHECK(result.error().code == Errc::unavailable);
    CHECK(result.error().context.find("did not end") != std::string::npos);
    int parent = 0;
    int child = 0;
    std::ifstream(pids) >> parent >> child;
    REQUIRE(parent > 1);
    REQUIRE(child > 1);
    CHECK(::kill(parent, 0) != 0);  // reaped, too
    // The child is init's to reap: it goes, or is a zombie that nobody has looked at yet. A signal
    // that was sent is not one that has worked.
    const auto ended = [&] {
        std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
        std::string word;
        return !(stat >> word >> word >> word) || word == "Z" || word == "X";
    };
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!ended() && std::chrono::steady_clock::now() < deadline)
        std::this_thread::yield();
    CHECK(ended());
}

TEST_CASE("a runner that goes ends what it runs", "[process]") {
    const test::TempDir dir;
    const auto pids = dir.path() / "pids";
    int pid = 0;
    {
        net::Loop loop;
        UvProgramRunner runner(loop);
        bool answered = false;
        runner.run(shell("echo $$ > " + pids.string() + "; exec sleep 1000"),
                   [&](const Result<ProgramOutput>&) { answered = true; });
        net::Timer look(loop, [&] {
            std::ifstream(pids) >> pid;
            if (pid > 1) loop.stop();
        });
        look.start(1ms, 1ms);
        loop.run();
        CHECK_FALSE(answered);
    }
    CHECK(::kill(pid, 0) != 0);
}

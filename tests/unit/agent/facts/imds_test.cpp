// The client against a server in this process that answers what it is told to.
#include "agent/facts/imds.h"

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/facts/http_client.h"
#include "common/base/file.h"
#include "tests/support/catch.h"

namespace ridgeline::agent {
namespace {

using namespace std::chrono_literals;

std::string ok(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
const std::string kNotFound = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

// One connection after the other; "METHOD path" -> the bytes that are answered. An empty answer
// keeps the connection open without a word until the server goes.
class FakeService {
  public:
    FakeService() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
        REQUIRE(::listen(listener_.get(), 16) == 0);
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
        authority = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
        thread_ = std::thread([this] { serve(); });
    }
    ~FakeService() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        thread_.join();
    }
    ImdsSettings settings(std::chrono::milliseconds timeout = 2000ms) const {
        return {{authority}, timeout};
    }

    std::string authority;
    std::map<std::string, std::string> answers;
    std::map<std::string, std::string> headers_seen;  // by request

  private:
    void serve() {
        std::vector<UniqueFd> silent;
        for (;;) {
            UniqueFd peer{::accept(listener_.get(), nullptr, nullptr)};
            if (!peer) return;
            std::string request;
            char part[1024];
            while (request.find("\r\n\r\n") == std::string::npos) {
                const ssize_t n = ::recv(peer.get(), part, sizeof part, 0);
                if (n <= 0) break;
                request.append(part, static_cast<std::size_t>(n));
            }
            const std::string line = request.substr(0, request.find(" HTTP"));
            headers_seen[line] = request;
            const auto answer = answers.find(line);
            const std::string bytes = answer == answers.end() ? kNotFound : answer->second;
            if (bytes.empty()) {
                silent.push_back(std::move(peer));
            } else {
                (void)::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            }
        }
    }

    UniqueFd listener_;
    std::thread thread_;
};

void give_identity(FakeService& service) {
    service.answers["PUT /latest/api/token"] = ok("AQAAtoken==");
    service.answers["GET /latest/dynamic/instance-identity/document"] = ok(R"({
      "accountId":"123456789012","availabilityZone":"eu-central-1a","imageId":"ami-1",
      "instanceId":"i-0123456789abcdef0","instanceType":"t3.small","region":"eu-central-1"})");
}

TEST_CASE("identity, tags and the Auto Scaling group become facts", "[imds]") {
    FakeService service;
    give_identity(service);
    const std::string tags = "GET /latest/meta-data/tags/instance/";
    service.answers[tags] = ok("Name\naws:autoscaling:groupName\nCost Centre");
    service.answers[tags + "Name"] = ok("web 1");
    service.answers[tags + "aws:autoscaling:groupName"] = ok("web-asg");
    service.answers[tags + "Cost%20Centre"] = ok("roof \x01 42");
    const auto facts = fetch_ec2_facts(service.settings());
    REQUIRE(facts);
    CHECK(*facts == Facts{{"cloud.provider", "aws"},
                          {"cloud.account.id", "123456789012"},
                          {"cloud.availability_zone", "eu-central-1a"},
                          {"cloud.region", "eu-central-1"},
                          {"host.id", "i-0123456789abcdef0"},
                          {"host.image.id", "ami-1"},
                          {"host.type", "t3.small"},
                          {"aws.autoscaling.group", "web-asg"},
                          {"ec2.tag.Cost Centre", "roof ? 42"},
                          {"ec2.tag.Name", "web 1"},
                          {"ec2.tag.aws:autoscaling:groupName", "web-asg"}});
    // Version 2 only: a token that is asked for and shown.
    CHECK(service.headers_seen["PUT /latest/api/token"].find(
              "X-aws-ec2-metadata-token-ttl-seconds: ") != std::string::npos);
    CHECK(service.headers_seen[tags].find("X-aws-ec2-metadata-token: AQAAtoken==\r\n") !=
          std::string::npos);
}

TEST_CASE("without leave to read the tags the identity is enough", "[imds]") {
    FakeService service;
    give_identity(service);
    const auto facts = fetch_ec2_facts(service.settings());
    REQUIRE(facts);
    CHECK(facts->size() == 7);
}

TEST_CASE("what keeps the service away is said with its cure", "[imds]") {
    FakeService service;
    const auto error = [&](std::chrono::milliseconds timeout = 2000ms) {
        const auto facts = fetch_ec2_facts(service.settings(timeout));
        REQUIRE_FALSE(facts);
        return facts.error().context;
    };
    service.answers["PUT /latest/api/token"] = "HTTP/1.1 403 Forbidden\r\n\r\n";
    CHECK(error() == "the instance metadata service is turned off for this instance");
    service.answers["PUT /latest/api/token"] = "";  // the answer does not get through the hop limit
    CHECK(error(50ms).find("--http-put-response-hop-limit 2") != std::string::npos);
    service.answers["PUT /latest/api/token"] = ok("evil\r\nHost: x");
    CHECK(error().find("gives no token") != std::string::npos);
    give_identity(service);
    service.answers["GET /latest/dynamic/instance-identity/document"] =
        "HTTP/1.1 401 Unauthorized\r\n\r\n";
    CHECK(error().find("HTTP 401") != std::string::npos);
    service.answers["GET /latest/dynamic/instance-identity/document"] = ok("{}");
    CHECK(error() == "the instance identity document names no instance");
    service.answers["GET /latest/dynamic/instance-identity/document"] =
        "HTTP/1.1 200 OK\r\n\r\n" + std::string(200'000, 'x');
    CHECK(error().find("answers without end") != std::string::npos);
}

TEST_CASE("nobody there, and addresses that are none", "[imds]") {
    std::string gone;
    {
        FakeService service;
        gone = service.authority;
    }
    CHECK(fetch_ec2_facts({{gone}, 500ms}).error().context ==
          "the instance metadata service cannot be reached: no connection to " + gone);
    CHECK_FALSE(http_exchange("metadata.example.com:80", {"GET", "/", ""}, 100ms));
    CHECK_FALSE(http_exchange("127.0.0.1", {"GET", "/", ""}, 100ms));
}

TEST_CASE("a tag whose key is not taken back costs itself alone", "[imds]") {
    FakeService service;
    give_identity(service);
    const std::string tags = "GET /latest/meta-data/tags/instance/";
    service.answers[tags] = ok("odd\nName");
    service.answers[tags + "odd"] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    service.answers[tags + "Name"] = ok("web");
    const auto facts = fetch_ec2_facts(service.settings());
    REQUIRE(facts);
    CHECK(facts->at("ec2.tag.Name") == "web");
}

}  // namespace
}  // namespace ridgeline::agent

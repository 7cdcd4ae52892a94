// What a provider answered: at once, or after the fake HTTP client was served.
#pragma once

#include <vector>

#include "collector/aws/credentials.h"

namespace ridgeline::test {

struct Asked {
    explicit Asked(collector::CredentialsProvider& provider) {
        provider.fetch([this](Result<collector::AwsCredentials> answer) {
            answers.push_back(std::move(answer));
        });
    }
    Asked(const Asked&) = delete;
    Asked& operator=(const Asked&) = delete;
    std::vector<Result<collector::AwsCredentials>> answers;
};

}  // namespace ridgeline::test

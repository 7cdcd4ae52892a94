// One mail over SMTP with libcurl, from beginning to end. Blocks: for a worker thread.
#pragma once

#include <string>
#include <vector>

#include "collector/notify/outbox.h"

namespace ridgeline::collector {

struct SmtpRequest {
    std::string url;  // "smtp://host:587", "smtps://host:465"
    std::string from;
    std::vector<std::string> to;
    std::string user;  // empty: without login
    std::string password;
    std::string ca_file;
    bool require_tls = true;  // STARTTLS, or nothing is sent
    std::string mail;         // RFC 5322, CRLF
};

// 4xx answers (greylisting, a full mailbox) and all that a network does are retried, 5xx is final.
Outcome send_mail(const SmtpRequest& request);

}  // namespace ridgeline::collector

#include "agent/source/reboot.h"

#include <algorithm>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/text.h"

namespace ridgeline::agent {

namespace {

// More than any host keeps; what a directory full of junk costs is bounded.
constexpr std::size_t kKernelsMax = 64;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Cuts the run of digits or of letters off the front.
std::string_view next_run(std::string_view& text) {
    const auto same_kind = is_digit(text.front()) ? is_digit : is_letter;
    const auto end = std::find_if_not(text.begin(), text.end(), same_kind);
    const std::string_view run = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(run.size());
    return run;
}

int compare_numbers(std::string_view a, std::string_view b) {
    a.remove_prefix(std::min(a.find_first_not_of('0'), a.size()));
    b.remove_prefix(std::min(b.find_first_not_of('0'), b.size()));
    if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
    return a.compare(b);
}

void skip_separators(std::string_view& text) {
    while (!text.empty() && !is_digit(text.front()) && !is_letter(text.front()) &&
           text.front() != '~') {
        text.remove_prefix(1);
    }
}

bool exists(const HostRoot& root, const std::string& path) {
    return ::faccessat(root.fd(), path.c_str(), F_OK, 0) == 0;
}

bool in_container(const HostRoot& root) {
    return exists(root, "run/systemd/container") || exists(root, ".dockerenv") ||
           exists(root, "run/.containerenv");
}

bool flagged(const HostRoot& root) {
    const auto in = [&](const std::string& run) {
        return exists(root, run + "/reboot-required") ||
               exists(root, run + "/reboot-required.pkgs");
    };
    if (in("run")) return true;
    // Where /var/run is a link it leads to /run, and from a root mounted elsewhere to the wrong
    // one.
    struct stat status {};
    return ::fstatat(root.fd(), "var/run", &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode) && in("var/run");
}

// The directory of kernel modules; /lib is a link to usr/lib by now, or the other is there alone.
std::string modules_directory(const HostRoot& root) {
    return exists(root, "lib/modules") ? "lib/modules" : "usr/lib/modules";
}

// A directory of modules without an image is what DKMS left behind, an image without modules a
// rescue kernel.
bool has_image(const HostRoot& root, const std::string& modules, const std::string& release) {
    return exists(root, modules + "/" + release + "/vmlinuz") ||
           exists(root, "boot/vmlinuz-" + release) || exists(root, "boot/vmlinux-" + release) ||
           exists(root, "boot/Image-" + release);
}

}  // namespace

int compare_kernel_releases(std::string_view a, std::string_view b) {
    for (;;) {
        skip_separators(a);
        skip_separators(b);
        const bool tilde_a = a.starts_with('~');
        const bool tilde_b = b.starts_with('~');
        if (tilde_a != tilde_b) return tilde_a ? -1 : 1;
        if (tilde_a) {
            a.remove_prefix(1);
            b.remove_prefix(1);
            continue;
        }
        if (a.empty() || b.empty())
            return static_cast<int>(b.empty()) - static_cast<int>(a.empty());
        const bool number_a = is_digit(a.front());
        if (number_a != is_digit(b.front())) return number_a ? 1 : -1;
        const std::string_view run_a = next_run(a);
        const std::string_view run_b = next_run(b);
        const int order = number_a ? compare_numbers(run_a, run_b) : run_a.compare(run_b);
        if (order != 0) return order;
    }
}

std::string kernel_flavour(std::string_view release) {
    // Debian, Ubuntu, SUSE: the last parts that begin with a letter.
    std::size_t flavour = release.size();
    while (flavour > 0) {
        const std::size_t dash = release.rfind('-', flavour - 1);
        if (dash == std::string_view::npos || dash + 1 >= flavour || !is_letter(release[dash + 1]))
            break;
        flavour = dash;
    }
    if (flavour < release.size()) return std::string(release.substr(flavour + 1));
    // Red Hat's: the architecture, with a variant after a plus sign. Oracle's own kernel is another
    // package than the one it is compatible with.
    const std::size_t dot = release.rfind('.');
    if (dot == std::string_view::npos || dot + 1 >= release.size() || !is_letter(release[dot + 1]))
        return "";
    const bool uek = release.find("uek.") != std::string_view::npos;
    return (uek ? "uek." : "") + std::string(release.substr(dot + 1));
}

std::optional<bool> reboot_required(const HostRoot& root) {
    if (in_container(root)) return {};
    const std::string modules = modules_directory(root);
    auto releases = list_directory(root, modules);
    // No modules: a container whose runtime left no mark. A flag in it is of its image.
    if (!releases || releases->empty()) return {};
    if (flagged(root)) return true;
    const auto running = read_attribute(root, "proc/sys/kernel/osrelease");
    if (!running) return {};
    releases->resize(std::min(releases->size(), kKernelsMax));
    const std::string flavour = kernel_flavour(*running);
    std::optional<bool> required;
    for (const std::string& release : *releases) {
        if (kernel_flavour(release) != flavour || !has_image(root, modules, release)) continue;
        required = required.value_or(false) || compare_kernel_releases(release, *running) > 0;
    }
    return required;
}

}  // namespace ridgeline::agent

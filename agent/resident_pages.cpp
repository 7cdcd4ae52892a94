#include "agent/resident_pages.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace ridgeline::agent {

namespace {

struct Range {
    std::uintptr_t begin = 0, end = 0;
};

int release_segments(dl_phdr_info* object, std::size_t, void*) {
    constexpr std::size_t kSegmentsMax = 16;  // ld makes three that are not written to
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    // Noted before any is released: the headers are in one of them, and would bring it back.
    std::array<Range, kSegmentsMax> ranges;
    std::size_t count = 0;
    for (std::size_t i = 0; i < object->dlpi_phnum && count < ranges.size(); ++i) {
        const ElfW(Phdr)& segment = object->dlpi_phdr[i];
        // Segments that may be written to hold relocated pointers, read-only later or not: those
        // pages exist nowhere else.
        if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
        ranges[count++] = {(object->dlpi_addr + segment.p_vaddr) / page * page,
                           object->dlpi_addr + segment.p_vaddr + segment.p_memsz};
    }
    for (const Range& range : std::span(ranges).first(count)) {
        // Best effort: what stays mapped does no harm.
        (void)::madvise(reinterpret_cast<void*>(range.begin), range.end - range.begin,
                        MADV_DONTNEED);
    }
    return 0;
}

}  // namespace

void release_unused_code() {
    ::dl_iterate_phdr(release_segments, nullptr);
}

}  // namespace ridgeline::agent

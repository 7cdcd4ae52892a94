// Memory that only starting took.
#pragma once

namespace ridgeline::agent {

// Unmaps the program's and its libraries' read-only pages; the kernel maps those that are still
// used again at the next touch, from its page cache (madvise(2), MADV_DONTNEED; a file's pages that
// nothing writes to). Reading the dynamic linker's tables and running constructors maps megabytes
// that are never looked at again. Any thread.
void release_unused_code();

}  // namespace ridgeline::agent

// Page allocation through mmap.
#include "memory.h"

#include <sys/mman.h>

namespace cria {

namespace {

constexpr int64_t page = 4096;
constexpr int64_t huge_page = int64_t{2} << 20;

int64_t round_up(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

int64_t mapped_bytes(int64_t bytes) { return round_up(bytes > 0 ? bytes : 1, bytes >= huge_page ? huge_page : page); }

}  // namespace

void* allocate_pages(int64_t bytes) {
  const int64_t size = mapped_bytes(bytes);
  const int64_t slack = size >= huge_page ? huge_page - page : 0;  // to find an aligned start inside
  void* memory = mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  if (slack == 0) return memory;
  char* begin = static_cast<char*>(memory);
  char* start = reinterpret_cast<char*>(round_up(reinterpret_cast<intptr_t>(begin), huge_page));
  if (start > begin) munmap(begin, start - begin);
  if (start - begin < slack) munmap(start + size, slack - (start - begin));
#if defined(MADV_HUGEPAGE)
  madvise(start, size, MADV_HUGEPAGE);
#endif
  return start;
}

void free_pages(void* memory, int64_t bytes) { munmap(memory, mapped_bytes(bytes)); }

void discard_pages(void* memory, int64_t bytes) { madvise(memory, mapped_bytes(bytes), MADV_DONTNEED); }

void* map_file(int file, int64_t offset, int64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, offset);
  if (memory == MAP_FAILED) return nullptr;
  madvise(memory, bytes, MADV_WILLNEED);
  return memory;
}

void unmap_file(void* memory, int64_t bytes) { munmap(memory, bytes); }

}  // namespace cria

// Page allocation through mmap.
#include "memory.h"

#include <sys/mman.h>

#include <mutex>

namespace cria {

namespace {

constexpr int64_t page = 4096;
constexpr int64_t region_bytes = int64_t{64} << 20;  // also their alignment, so that a part's region follows from its address
constexpr int64_t largest_part = region_bytes / 4;

int64_t round_up(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

int64_t mapped_bytes(int64_t bytes) { return round_up(bytes > 0 ? bytes : 1, page); }

// Memory of whole pages at a multiple of `unit`, in huge pages where the system has some.
char* map_aligned(int64_t size, int64_t unit) {
  const int64_t slack = unit - page;  // to find an aligned start inside
  void* memory = mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(memory);
  char* start = reinterpret_cast<char*>(round_up(reinterpret_cast<intptr_t>(begin), unit));
  if (start > begin) munmap(begin, start - begin);
  if (start - begin < slack) munmap(start + size, slack - (start - begin));
#if defined(MADV_HUGEPAGE)
  madvise(start, size, MADV_HUGEPAGE);
#endif
  return start;
}

// Tensors smaller than a few huge pages lie next to each other in regions, since reading small pages is a tenth slower. Memory of a region is
// handed out once; the region goes when all of its parts have been given back.
struct Region {
  int64_t used, parts;
};
std::mutex regions_mutex;
Region* open_region = nullptr;  // the one that new parts come from; it lies at its own beginning

void leave(Region* region) {
  if (--region->parts == 0) munmap(region, region_bytes);
}

char* take_part(int64_t size) {
  const std::lock_guard<std::mutex> lock(regions_mutex);
  if (open_region == nullptr || open_region->used + size > region_bytes) {
    auto* region = reinterpret_cast<Region*>(map_aligned(region_bytes, region_bytes));
    if (region == nullptr) return nullptr;
    if (open_region != nullptr) leave(open_region);
    *region = {page, 1};  // one for being open
    open_region = region;
  }
  open_region->parts++;
  open_region->used += size;
  return reinterpret_cast<char*>(open_region) + open_region->used - size;
}

}  // namespace

void* allocate_pages(int64_t bytes) {
  const int64_t size = mapped_bytes(bytes);
  return size <= largest_part ? take_part(size) : map_aligned(size, region_bytes);
}

void free_pages(void* memory, int64_t bytes) {
  if (mapped_bytes(bytes) > largest_part) {
    munmap(memory, mapped_bytes(bytes));
    return;
  }
  discard_pages(memory, bytes);
  const std::lock_guard<std::mutex> lock(regions_mutex);
  leave(reinterpret_cast<Region*>(reinterpret_cast<intptr_t>(memory) / region_bytes * region_bytes));
}

void discard_pages(void* memory, int64_t bytes) { madvise(memory, mapped_bytes(bytes), MADV_DONTNEED); }

void* map_file(int file, int64_t offset, int64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, offset);
  if (memory == MAP_FAILED) return nullptr;
  madvise(memory, bytes, MADV_WILLNEED);
  return memory;
}

void unmap_file(void* memory, int64_t bytes) { munmap(memory, bytes); }

}  // namespace cria

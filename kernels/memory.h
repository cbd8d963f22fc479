// Memory for tensors: whole pages from the operating system, zeroed, in huge pages where it is large.
#pragma once
#include <cstdint>

namespace cria {

// Null when the system has no such memory. Aligned to a page at least.
void* allocate_pages(int64_t bytes);
void free_pages(void* memory, int64_t bytes);

// Gives the physical memory back at once; the addresses stay valid and read as zeros.
void discard_pages(void* memory, int64_t bytes);

// Part of an open file as memory, which stays valid when the file is closed or deleted. Writing changes this copy only. Null when the system refuses.
void* map_file(int file, int64_t offset, int64_t bytes);
void unmap_file(void* memory, int64_t bytes);

}  // namespace cria

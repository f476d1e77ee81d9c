// How a batch is cut into parts for the threads, and memory for what a part works on.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

namespace {

constexpr int MAX_PARTS = 16;  // that a batch is cut into

// Memory for an image's maps, on the boundary of a cache line: vectors across two lines take twice as long.
class AlignedBuffer {
   public:
    explicit AlignedBuffer(size_t size) : values_(static_cast<float*>(::operator new[](size * sizeof(float), LINE))) {
#ifdef __SANITIZE_ADDRESS__
        std::memset(values_, 0xff, size * sizeof(float));  // NaN: what is read before it was written shows in results
#endif
    }
    ~AlignedBuffer() { ::operator delete[](values_, LINE); }
    AlignedBuffer(const AlignedBuffer&) = delete;
    AlignedBuffer& operator=(const AlignedBuffer&) = delete;
    float* data() { return values_; }

   private:
    static constexpr std::align_val_t LINE{64};
    float* values_;
};

inline int parts_of(int num_images) { return std::min(num_images, MAX_PARTS); }

// Work on images in parallel, part by part, whichever thread is free: cores are not equally fast where neighbours share
// them. `work(part, first, last)`.
template <typename Work>
void over_parts(int num_images, int num_parts, int num_threads, const Work& work) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(num_threads)
    for (int part = 0; part < num_parts; part++)
        work(part, static_cast<int>(static_cast<int64_t>(num_images) * part / num_parts),
             static_cast<int>(static_cast<int64_t>(num_images) * (part + 1) / num_parts));
}

template <typename Work>
void over_images(int num_images, int num_threads, const Work& work) {
    over_parts(num_images, parts_of(num_images), num_threads, work);
}

}  // namespace

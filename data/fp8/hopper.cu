// How the sums and casts in hopper.npz were measured.
//     nvcc -gencode=arch=compute_90a,code=sm_90a -cubin -o hopper.cubin hopper.cu
// The machine code must hold QGMMA. One block of 128 threads sums one tile of 64 x 8 outputs: a is [tiles, 64, k],
// b is [tiles, 8, k], start and out are [tiles, 64, 8], k a multiple of 32; promote is a multiple of 32, or 0.
#include <stdint.h>

// A tile without swizzle: blocks of 8 rows x 16 bytes lie one after the other, first along k, then along the rows.
__device__ uint64_t descriptor(const void *tile)
{
    uint64_t address = (uint64_t)__cvta_generic_to_shared(tile);
    return ((address & 0x3ffff) >> 4) | ((uint64_t)(128 >> 4) << 16) | ((uint64_t)(256 >> 4) << 32);
}

__device__ void load(uint8_t *tile, const uint8_t *from, int rows, int k)
{
    for (int i = threadIdx.x; i < rows * 32; i += 128) {
        int row = i / 32, col = i % 32;
        tile[row / 8 * 256 + col / 16 * 128 + row % 8 * 16 + col % 16] = from[(size_t)row * k + col];
    }
}

#define SUMS(A, B)                                                                                                    \
    extern "C" __global__ void sums_##A##_##B(const uint8_t *a, const uint8_t *b, const float *start, float *out,     \
                                              int k, int promote)                                                     \
    {                                                                                                                 \
        __shared__ __align__(128) uint8_t tile_a[64 * 32], tile_b[8 * 32];                                            \
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;                                                   \
        float r[4], total[4] = {};                                                                                    \
        size_t at[4];                                                                                                 \
        for (int i = 0; i < 4; i++) {                                                                                 \
            at[i] = blockIdx.x * 512 + (warp * 16 + lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2;                 \
            r[i] = start[at[i]];                                                                                      \
        }                                                                                                             \
        for (int done = 0; done < k; done += 32) {                                                                    \
            __syncthreads();                                                                                          \
            load(tile_a, a + (size_t)blockIdx.x * 64 * k + done, 64, k);                                              \
            load(tile_b, b + (size_t)blockIdx.x * 8 * k + done, 8, k);                                                \
            asm volatile("fence.proxy.async.shared::cta;" ::: "memory");                                              \
            __syncthreads();                                                                                          \
            asm volatile("wgmma.fence.sync.aligned;" ::: "memory");                                                   \
            asm volatile("wgmma.mma_async.sync.aligned.m64n8k32.f32." #A "." #B " {%0, %1, %2, %3}, %4, %5, 1, 1, 1;" \
                         : "+f"(r[0]), "+f"(r[1]), "+f"(r[2]), "+f"(r[3])                                             \
                         : "l"(descriptor(tile_a)), "l"(descriptor(tile_b)));                                         \
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");                                            \
            asm volatile("wgmma.wait_group.sync.aligned 0;"                                                           \
                         : "+f"(r[0]), "+f"(r[1]), "+f"(r[2]), "+f"(r[3])::"memory");                                 \
            if (promote && (done + 32) % promote == 0)                                                                \
                for (int i = 0; i < 4; i++) {                                                                         \
                    total[i] = __fadd_rn(total[i], r[i]);                                                             \
                    r[i] = 0;                                                                                         \
                }                                                                                                     \
        }                                                                                                             \
        for (int i = 0; i < 4; i++) out[at[i]] = promote ? total[i] : r[i];                                           \
    }

SUMS(e4m3, e4m3)
SUMS(e5m2, e4m3)
SUMS(e4m3, e5m2)
SUMS(e5m2, e5m2)

// One thread a pattern, from `first` on.
#define CASTS(FORM)                                                                                                   \
    extern "C" __global__ void cast_##FORM(uint32_t first, uint8_t *codes)                                            \
    {                                                                                                                 \
        uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;                                                           \
        float x = __uint_as_float(first + i);                                                                         \
        uint16_t two;                                                                                                 \
        asm("cvt.rn.satfinite." #FORM "x2.f32 %0, %1, %1;" : "=h"(two) : "f"(x));                                     \
        codes[i] = (uint8_t)two;                                                                                      \
    }                                                                                                                 \
    extern "C" __global__ void half_##FORM(uint8_t *codes)                                                            \
    {                                                                                                                 \
        uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;                                                           \
        uint16_t two;                                                                                                 \
        asm("cvt.rn.satfinite." #FORM "x2.f16x2 %0, %1;" : "=h"(two) : "r"(i | i << 16));                             \
        codes[i] = (uint8_t)two;                                                                                      \
    }                                                                                                                 \
    extern "C" __global__ void back_##FORM(uint16_t *halves)                                                          \
    {                                                                                                                 \
        uint32_t i = threadIdx.x, two;                                                                                \
        asm("cvt.rn.f16x2." #FORM "x2 %0, %1;" : "=r"(two) : "h"((uint16_t)(i | i << 8)));                            \
        halves[i] = (uint16_t)two;                                                                                    \
    }

CASTS(e4m3)
CASTS(e5m2)

#include "cuda_on_cpu.h"

#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include <ucontext.h>

namespace cuda_on_cpu {
namespace {

constexpr std::size_t kStackBytes = 64 << 10;
constexpr std::size_t kMostArguments = 512;

/// As large as any kernel's parameter. The ABIs of x86-64 and aarch64 pass a struct of more than 16 bytes as
/// a copy in memory, of which the callee reads as much as its own struct has: a larger one that begins with
/// it serves as well.
struct Arguments {
  char bytes[kMostArguments];
};
using Kernel = void (*)(Arguments);

/// A shuffle under way: the values given, and those of the last one that was complete.
struct Warp {
  unsigned arrived = 0;
  unsigned rounds = 0;
  unsigned complete_mask = 0;
  std::uint64_t given[32] = {};
  std::uint64_t complete[32] = {};
};

/// What the blocks of a cluster share.
struct Cluster {
  explicit Cluster(unsigned blocks) : begun(blocks), barrier(blocks), ended(blocks), storage(blocks) {}
  std::barrier<> begun;
  std::barrier<> barrier;
  std::barrier<> ended;
  std::vector<char*> storage;  ///< where the thread-local variables of each block's thread are
};

/// Any thread-local variable: the distance to the others is the same in every thread, because the library
/// asks for static storage of them (-ftls-model=initial-exec).
thread_local char storage_mark;

/// Stacks for the fibers of one block at a time, kept for the next block of this thread. Not cleared: that
/// would take longer than what runs on them.
char* stacks_of(unsigned fibers) {
  thread_local std::unique_ptr<char[]> stacks;
  thread_local unsigned most = 0;
  if (fibers > most) {
    stacks.reset(new char[fibers * kStackBytes]);
    most = fibers;
  }
  return stacks.get();
}

class Block {
 public:
  Block(dim3 grid, dim3 size, uint3 index, unsigned rank, Cluster& cluster, Kernel kernel,
        const Arguments& arguments)
      : grid_(grid),
        size_(size),
        index_(index),
        rank_(rank),
        cluster_(cluster),
        kernel_(kernel),
        arguments_(arguments) {}

  void run() {
    current = this;
    cluster_.storage[rank_] = &storage_mark;
    cluster_.begun.arrive_and_wait();
    const unsigned count = size_.x * size_.y * size_.z;
    fibers_.resize(count);
    stacks_ = stacks_of(count);
    ended_.assign(count, false);
    warps_.resize((count + 31) / 32);
    running_ = count;
    for (unsigned i = 0; i < count; ++i)
      begin(i);
    while (running_ > 0) {
      const auto before = progress_;
      for (thread_ = 0; thread_ < count; ++thread_)
        if (!ended_[thread_]) swapcontext(&scheduler_, &fibers_[thread_]);
      if (progress_ == before) fail("threads wait for one another for ever");
    }
    cluster_.ended.arrive_and_wait();
  }

  uint3 thread_index() const {
    return {thread_ % size_.x, thread_ / size_.x % size_.y, thread_ / size_.x / size_.y};
  }
  uint3 index() const { return index_; }
  dim3 size() const { return size_; }
  dim3 grid() const { return grid_; }
  unsigned rank() const { return rank_; }

  void barrier() {
    if (++at_barrier_ == running_)
      pass_barrier();
    else
      wait_until([this, round = barriers_] { return barriers_ != round; });
  }

  void cluster_barrier() {
    if (++at_cluster_barrier_ == running_) {
      at_cluster_barrier_ = 0;
      cluster_.barrier.arrive_and_wait();
      ++cluster_barriers_;
      ++progress_;
    } else {
      wait_until([this, round = cluster_barriers_] { return cluster_barriers_ != round; });
    }
  }

  void* in_block(void* variable, unsigned rank) const {
    return static_cast<char*>(variable) - &storage_mark + cluster_.storage[rank];
  }

  std::uint64_t exchange(unsigned mask, std::uint64_t value, unsigned source) {
    Warp& warp = warps_[thread_ / 32];
    const auto threads = static_cast<unsigned>(fibers_.size());
    const unsigned here = std::min(threads - thread_ / 32 * 32, 32U);
    if (here < 32) mask &= (1U << here) - 1;
    warp.given[thread_ % 32] = value;
    warp.arrived |= 1U << (thread_ % 32);
    if ((warp.arrived & mask) == mask) {
      std::copy(std::begin(warp.given), std::end(warp.given), std::begin(warp.complete));
      warp.complete_mask = mask;
      warp.arrived &= ~mask;
      ++warp.rounds;
      ++progress_;
    } else {
      wait_until([&warp, round = warp.rounds] { return warp.rounds != round; });
    }
    return (warp.complete_mask >> source & 1U) != 0 ? warp.complete[source] : value;
  }

  static thread_local Block* current;

 private:
  static void main() {
    Block* block = current;
    block->kernel_(block->arguments_);
    block->ended_[block->thread_] = true;
    --block->running_;
    ++block->progress_;
    // Threads that ended count as arrived.
    if (block->running_ > 0 && block->at_barrier_ == block->running_) block->pass_barrier();
    swapcontext(&block->fibers_[block->thread_], &block->scheduler_);
  }

  void begin(unsigned thread) {
    ucontext_t& fiber = fibers_[thread];
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = stacks_ + thread * kStackBytes;
    fiber.uc_stack.ss_size = kStackBytes;
    fiber.uc_link = nullptr;
    makecontext(&fiber, &Block::main, 0);
  }

  void pass_barrier() {
    at_barrier_ = 0;
    ++barriers_;
    ++progress_;
  }

  template <class Done>
  void wait_until(Done done) {
    while (!done())
      swapcontext(&fibers_[thread_], &scheduler_);
  }

  [[noreturn]] void fail(const char* text) const {
    std::fprintf(stderr, "block %u: %s\n", index_.x, text);
    std::abort();
  }

  dim3 grid_;
  dim3 size_;
  uint3 index_;
  unsigned rank_;
  Cluster& cluster_;
  Kernel kernel_;
  const Arguments& arguments_;
  std::vector<ucontext_t> fibers_;
  char* stacks_ = nullptr;
  std::vector<bool> ended_;
  std::vector<Warp> warps_;
  ucontext_t scheduler_{};
  unsigned thread_ = 0;
  unsigned running_ = 0;
  unsigned at_barrier_ = 0;
  unsigned barriers_ = 0;
  unsigned at_cluster_barrier_ = 0;
  unsigned cluster_barriers_ = 0;
  std::uint64_t progress_ = 0;  ///< changes whenever a thread got further
};

thread_local Block* Block::current = nullptr;

void run_cluster(dim3 grid, dim3 size, uint3 first, unsigned blocks, const void* kernel,
                 const Arguments& arguments) {
  Cluster cluster(blocks);
  const auto run = [&](unsigned rank) {
    Block(grid, size, {first.x + rank, first.y, first.z}, rank, cluster,
          reinterpret_cast<Kernel>(const_cast<void*>(kernel)), arguments)
        .run();
  };
  if (blocks == 1) return run(0);
  std::vector<std::thread> threads;
  for (unsigned rank = 0; rank < blocks; ++rank)
    threads.emplace_back(run, rank);
  for (auto& thread : threads)
    thread.join();
}

cudaError_t launch(const void* kernel, dim3 grid, dim3 size, void** parameters, unsigned cluster) {
  const unsigned threads = size.x * size.y * size.z;
  if (threads == 0 || threads > 1024 || grid.x == 0 || grid.y == 0 || grid.y > 65535 || grid.z != 1)
    return cudaErrorInvalidConfiguration;
  if (grid.x % cluster != 0) return cudaErrorInvalidClusterSize;
  Arguments arguments;
  std::memcpy(&arguments, parameters[0], sizeof(arguments));
  for (unsigned y = 0; y < grid.y; ++y)
    for (unsigned x = 0; x < grid.x; x += cluster)
      run_cluster(grid, size, {x, y, 0}, cluster, kernel, arguments);
  return cudaSuccess;
}

}  // namespace

uint3 thread_index() {
  return Block::current->thread_index();
}
uint3 block_index() {
  return Block::current->index();
}
dim3 block_size() {
  return Block::current->size();
}
dim3 grid_size() {
  return Block::current->grid();
}
void block_barrier() {
  Block::current->barrier();
}
std::uint64_t exchange(unsigned mask, std::uint64_t value, unsigned source) {
  return Block::current->exchange(mask, value, source);
}
unsigned cluster_rank() {
  return Block::current->rank();
}
void cluster_barrier() {
  Block::current->cluster_barrier();
}
void* in_block(void* variable, unsigned rank) {
  return Block::current->in_block(variable, rank);
}

}  // namespace cuda_on_cpu

// What the host side of our kernels calls of the runtime.
extern "C" {
cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 size, void** parameters, std::size_t,
                             cudaStream_t) {
  return cuda_on_cpu::launch(kernel, grid, size, parameters, 1);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** parameters) {
  unsigned cluster = 1;
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id == cudaLaunchAttributeClusterDimension)
      cluster = config->attrs[i].val.clusterDim.x;
  return cuda_on_cpu::launch(kernel, config->gridDim, config->blockDim, parameters, cluster);
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) {
  return cudaSuccess;
}
/// A device of capability 9.0 with memory about as fast as that of an H200.
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = 132;
      break;
    case cudaDevAttrClockRate:
      *value = 1980000;
      break;
    case cudaDevAttrMemoryClockRate:
      *value = 3201000;
      break;
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = 6144;
      break;
    default:
      *value = 0;
  }
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorInvalidConfiguration ? "invalid configuration" : "an error of the emulation";
}
}

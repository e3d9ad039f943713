#pragma once

#include <cooperative_groups.h>

// A cluster of blocks (compute capability 9.0 and up), whose shared memories all of them reach. On older
// devices these exist so that code compiles; a launch with clusters fails there.

namespace kernels::common {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
__device__ inline unsigned cluster_rank() {
  return cooperative_groups::this_cluster().block_rank();
}
/// All threads of the cluster arrive, then all wait; what was written before is seen after. In two halves, so
/// that the time between them is not lost.
__device__ inline void cluster_arrive() {
  cooperative_groups::this_cluster().barrier_arrive();
}
__device__ inline void cluster_wait() {
  cooperative_groups::this_cluster().barrier_wait();
}
/// A variable in shared memory as it is in the block `rank` of the cluster.
template <class T>
__device__ T* in_block(T* variable, unsigned rank) {
  return cooperative_groups::this_cluster().map_shared_rank(variable, rank);
}
#else
__device__ inline unsigned cluster_rank() {
  return 0;
}
__device__ inline void cluster_arrive() {}
__device__ inline void cluster_wait() {}
template <class T>
__device__ T* in_block(T* variable, unsigned) {
  return variable;
}
#endif

}  // namespace kernels::common

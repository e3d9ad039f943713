#pragma once

// kernels/common/cluster.cuh for code that runs on the CPU.

namespace kernels::common {

inline unsigned cluster_rank() {
  return cuda_on_cpu::cluster_rank();
}
/// Nobody goes on between the halves, so the second is the whole barrier.
inline void cluster_arrive() {}
inline void cluster_wait() {
  cuda_on_cpu::cluster_barrier();
}
template <class T>
T* in_block(T* variable, unsigned rank) {
  return static_cast<T*>(cuda_on_cpu::in_block(variable, rank));
}

}  // namespace kernels::common

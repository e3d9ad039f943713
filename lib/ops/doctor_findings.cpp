#include <algorithm>

#include "kernels/ops/doctor.h"

namespace kernels::ops {

namespace {

using machine::CudaState;
using machine::Detected;
using machine::GpuVendor;

constexpr MajorMinor kOldestGlibc{.major = 2, .minor = 28};

class Findings {
 public:
  explicit Findings(const Detected& machine) : machine_(machine), target_(machine.target) {}

  std::vector<Finding> all() {
    nvidia();
    torch();
    system();
    python();
    return std::move(out_);
  }

 private:
  void problem(std::string what, std::string fix) { add(Severity::problem, std::move(what), std::move(fix)); }
  void note(std::string what, std::string fix) { add(Severity::note, std::move(what), std::move(fix)); }
  void add(Severity severity, std::string what, std::string fix) {
    out_.push_back({.severity = severity, .what = std::move(what), .fix = std::move(fix)});
  }

  bool has_gpu(GpuVendor vendor) const {
    return std::ranges::find(machine_.gpus, vendor, &machine::Gpu::vendor) != machine_.gpus.end();
  }

  void nvidia() {
    bool has_gpus = has_gpu(GpuVendor::nvidia);
    switch (machine_.cuda) {
      case CudaState::no_library:
        if (has_gpus)
          problem("there are NVIDIA GPUs, but not the driver's library libcuda.so.1",
                  "install NVIDIA's driver; in a container, start it with access to the GPUs (`--gpus all`)");
        return;
      case CudaState::failed:
        return problem("NVIDIA's driver does not start: " + machine_.cuda_failure,
                       "check that the kernel module is loaded and of the same version as the library "
                       "(`nvidia-smi` says so), and that /dev/nvidia* may be opened");
      case CudaState::no_gpu:
        if (has_gpus)
          problem("there are NVIDIA GPUs, but the CUDA driver shows none of them",
                  is_divided() ? "MIG is on: make an instance with `nvidia-smi mig -cgi … -C`"
                               : "check `CUDA_VISIBLE_DEVICES` and what the container may see");
        return;
      case CudaState::not_asked:
      case CudaState::usable:
        return;
    }
  }

  bool is_divided() const {
    return std::ranges::any_of(machine_.gpus, [](const auto& gpu) { return gpu.mig.value_or(false); });
  }

  void torch() {
    if (machine_.torch_cuda && machine_.driver_cuda) driver_age(*machine_.torch_cuda, *machine_.driver_cuda);
    if (!target_.torch) return;
    auto kind = target_.backend.kind;
    if (has_gpu(GpuVendor::nvidia) && kind != BackendKind::cuda)
      note("there are NVIDIA GPUs, but torch is built for " + target_.backend.display(),
           "install a torch that is built for CUDA");
    else if (has_gpu(GpuVendor::amd) && !has_gpu(GpuVendor::nvidia) && kind != BackendKind::rocm)
      note("there are AMD GPUs, but torch is built for " + target_.backend.display(),
           "install a torch that is built for ROCm");
  }

  /// Drivers run what was built for any earlier CUDA and for later minor versions of their own, except that
  /// they cannot compile the PTX of these.
  void driver_age(MajorMinor torch, MajorMinor driver) {
    auto both = "torch is built for CUDA " + torch.str() + ", and the driver " +
                target_.driver.value_or("here") + " runs CUDA up to " + driver.str();
    if (torch.major > driver.major)
      problem(both,
              "install a newer driver, or a torch that is built for CUDA " + std::to_string(driver.major));
    else if (torch > driver)
      note(both + ": machine code works, PTX of this CUDA does not", "install a newer driver");
  }

  void system() {
    if (machine_.is_musl)
      problem("the C library is musl; kernels are built for glibc",
              "use a system or an image with glibc, such as Debian");
    else if (target_.glibc && *target_.glibc < kOldestGlibc)
      problem("glibc is " + target_.glibc->str() + "; kernels are built for 2.28 and later",
              "use a newer system or image");
  }

  void python() {
    if (target_.free_threaded_python)
      problem("Python " + target_.python.value_or(MajorMinor{}).str() +
                  " is one without the GIL, for which no built kernel fits before 3.15",
              "use a Python with the GIL");
  }

  const Detected& machine_;
  const Target& target_;
  std::vector<Finding> out_;
};

}  // namespace

std::vector<Finding> machine_findings(const Detected& machine) {
  return Findings(machine).all();
}

}  // namespace kernels::ops

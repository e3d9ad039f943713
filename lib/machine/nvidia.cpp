#include "nvidia.h"

#include <algorithm>

#include "loader.h"
#include "texts.h"

namespace kernels::machine {

static void add_capability(Target& target, MajorMinor capability) {
  if (std::ranges::find(target.capabilities, capability) == target.capabilities.end())
    target.capabilities.push_back(capability);
}

/// The CUDA that a machine without torch offers is that of its driver.
static void set_backend(Findings& findings, const std::optional<Sourced<MajorMinor>>& cuda) {
  auto& target = findings.out.target;
  if (target.torch || !cuda) return;
  target.backend = {.kind = BackendKind::cuda, .version = cuda->value};
  findings.fact(Topic::gpu, "backend", target.backend.display(), cuda->source, cuda->certainty);
}

static void set_driver(Findings& findings, const std::optional<Sourced<std::string>>& driver) {
  if (!driver) return;
  findings.out.target.driver = driver->value;
  findings.fact(Topic::gpu, "driver", driver->value, driver->source, driver->certainty);
}

static void set_driver_cuda(Findings& findings, const std::optional<Sourced<MajorMinor>>& cuda) {
  if (!cuda) return;
  findings.out.driver_cuda = cuda->value;
  findings.fact(Topic::gpu, "CUDA of the driver", cuda->value.str(), cuda->source, cuda->certainty);
}

static void use_gpus(Findings& findings, std::vector<Gpu> gpus, std::vector<Fact> facts) {
  for (const auto& gpu : gpus)
    if (gpu.capability) add_capability(findings.out.target, *gpu.capability);
  std::ranges::move(gpus, std::back_inserter(findings.out.gpus));
  std::ranges::move(facts, std::back_inserter(findings.out.facts));
}

/// What NVML knows and CUDA does not tell: whether the GPU is divided. It is of the whole GPU, found by PCI.
static void complete_from_nvml(std::vector<Gpu>& gpus, const NvmlAnswer& nvml, std::vector<Fact>& facts) {
  for (auto& gpu : gpus) {
    auto whole = std::ranges::find(nvml.gpus, gpu.pci, &Gpu::pci);
    if (whole == nvml.gpus.end() || gpu.pci.empty()) continue;
    auto known = gpu;
    if (!gpu.mig) gpu.mig = whole->mig;
    if (!gpu.ecc) gpu.ecc = whole->ecc;
    Gpu added{.index = gpu.index};
    if (!known.mig) added.mig = gpu.mig;
    if (!known.ecc) added.ecc = gpu.ecc;
    add_gpu_facts(added, "NVML", Certainty::asked, facts);
  }
}

static void report_usable(Findings& findings, CudaAnswer cuda, const std::optional<NvmlAnswer>& nvml) {
  std::vector<Fact> facts;
  for (const auto& gpu : cuda.gpus) {
    auto told = findings.wants_everything() ? gpu : Gpu{.index = gpu.index, .capability = gpu.capability};
    add_gpu_facts(told, "the CUDA driver", Certainty::asked, facts);
  }
  if (nvml) complete_from_nvml(cuda.gpus, *nvml, facts);
  use_gpus(findings, std::move(cuda.gpus), std::move(facts));
}

/// GPUs that CUDA does not show: a person wants to see them, kernels cannot run on them.
static void report_unusable(Findings& findings, const std::optional<NvmlAnswer>& nvml) {
  auto& out = findings.out;
  if (nvml && !nvml->gpus.empty()) {
    for (const auto& gpu : nvml->gpus)
      add_gpu_facts(gpu, "NVML", Certainty::asked, out.facts);
    out.gpus = nvml->gpus;
    return;
  }
  auto files = read_nvidia_files(findings.sysroot);
  out.gpus = std::move(files.gpus);
  std::ranges::move(files.facts, std::back_inserter(out.facts));
}

static void find_here(Findings& findings) {
  auto& out = findings.out;
  auto cuda = ask_cuda();
  out.cuda = cuda.state;
  out.cuda_failure = cuda.failure;
  bool usable = cuda.state == CudaState::usable;
  std::optional<NvmlAnswer> nvml;
  if (findings.wants_everything()) nvml = ask_nvml();
  if (!out.target.torch && !usable)
    findings.fact(Topic::gpu, "backend", "CPU",
                  cuda.state == CudaState::no_library ? "no libcuda.so.1"
                  : cuda.state == CudaState::failed   ? cuda.failure
                                                      : "libcuda.so.1 finds no GPU",
                  Certainty::asked);
  std::optional<Sourced<MajorMinor>> version;
  if (cuda.cuda) version = {*cuda.cuda, "cuDriverGetVersion", Certainty::asked};
  if (usable) set_backend(findings, version);
  if (auto visible = findings.environment("CUDA_VISIBLE_DEVICES"); visible && findings.wants_everything())
    findings.fact(Topic::gpu, "CUDA_VISIBLE_DEVICES", visible->empty() ? "none" : shown(*visible),
                  "the environment", Certainty::read);
  if (usable || findings.wants_everything()) {
    set_driver_cuda(findings, version);
    std::optional<Sourced<std::string>> driver;
    if (nvml && !nvml->driver.empty())
      driver = {nvml->driver, "nvmlSystemGetDriverVersion", Certainty::asked};
    set_driver(findings, driver ? driver : read_driver_version(findings.sysroot));
  }
  if (usable)
    report_usable(findings, std::move(cuda), nvml);
  else if (findings.wants_everything())
    report_unusable(findings, nvml);
}

static void find_elsewhere(Findings& findings) {
  auto library = find_library(findings.sysroot, "libcuda.so.1");
  if (library) {
    findings.out.cuda = CudaState::not_asked;
    findings.fact(Topic::gpu, "driver library", library->string(), library->string(), Certainty::read);
  }
  auto files = read_nvidia_files(findings.sysroot);
  set_driver(findings, files.driver);
  set_driver_cuda(findings, files.cuda);
  if (!files.gpus.empty()) set_backend(findings, files.cuda);
  use_gpus(findings, std::move(files.gpus), std::move(files.facts));
}

void find_nvidia(Findings& findings) {
  if (findings.is_here())
    find_here(findings);
  else
    find_elsewhere(findings);
}

}  // namespace kernels::machine

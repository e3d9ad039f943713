#include "bench_devices.h"

#include <algorithm>

namespace kernels::app {

Result<std::vector<Device>> parse_bench_devices(const std::string& text, const machine::Detected& machine) {
  const auto& target = machine.target;
  const bool has_gpu = target.backend.kind == BackendKind::cuda && !target.capabilities.empty();
  if (text == "cpu" || (text == "auto" && !has_gpu)) return std::vector{Device{}};
  if (text == "all") {
    if (!has_gpu)
      return fail(Error(Errc::invalid_argument, "there is no CUDA device on this machine")
                      .with_hint("`kernels doctor` says what there is; `--device cpu` measures without"));
    // GPUs, not capabilities: those of a machine are mostly alike.
    const auto count = std::max<std::ptrdiff_t>(
        std::ranges::count(machine.gpus, machine::GpuVendor::nvidia, &machine::Gpu::vendor), 1);
    std::vector<Device> all;
    for (std::ptrdiff_t i = 0; i < count; ++i)
      all.push_back({.kind = runtime::DeviceKind::cuda, .index = static_cast<int>(i)});
    return all;
  }
  auto digits = text.starts_with("cuda:") ? text.substr(5) : text == "cuda" || text == "auto" ? "0" : "";
  if (digits.empty() || digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos)
    return fail(Error(Errc::invalid_argument, "`" + text + "` is not a device")
                    .with_hint("write `auto`, `all`, `cpu`, `cuda` or `cuda:1`"));
  return std::vector{Device{.kind = runtime::DeviceKind::cuda, .index = std::stoi(digits)}};
}

}  // namespace kernels::app

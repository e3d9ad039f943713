#include <array>

#include "cuda_api_impl.h"

namespace kernels::runtime {

namespace {

// nvmlClockType_t
constexpr int kSm = 1;
constexpr int kMemory = 2;

struct Reason {
  std::uint64_t bit;
  const char* name;
};
/// NVML's clock event reasons, without those that are no disturbance: an idle device, clocks that somebody
/// set.
constexpr std::array kReasons = {Reason{0x4, "power limit"},
                                 Reason{0x8, "hardware slowdown"},
                                 Reason{0x10, "clocks in step with other GPUs"},
                                 Reason{0x20, "temperature"},
                                 Reason{0x40, "hardware temperature"},
                                 Reason{0x80, "power brake"},
                                 Reason{0x100, "display clocks"}};

}  // namespace

std::vector<std::string> slowdown_names(std::uint64_t reasons) {
  std::vector<std::string> out;
  for (const auto& reason : kReasons)
    if ((reasons & reason.bit) != 0) out.emplace_back(reason.name);
  return out;
}

std::optional<CudaHealth> Cuda::health() const {
  if (nvml_ == nullptr) return std::nullopt;
  CudaHealth health;
  nvml_->clock(nvml_->device, kSm, &health.sm_mhz);
  nvml_->clock(nvml_->device, kMemory, &health.memory_mhz);
  unsigned long long number = 0;
  if (nvml_->reasons != nullptr && nvml_->reasons(nvml_->device, &number) == 0) health.slowdowns = number;
  unsigned value = 0;
  if (nvml_->power != nullptr && nvml_->power(nvml_->device, &value) == 0) health.power_w = value / 1e3;
  if (nvml_->temperature != nullptr && nvml_->temperature(nvml_->device, 0, &value) == 0)
    health.temperature_c = static_cast<double>(value);
  constexpr int kUncorrected = 1;
  constexpr int kSinceStart = 0;
  if (nvml_->ecc_errors != nullptr &&
      nvml_->ecc_errors(nvml_->device, kUncorrected, kSinceStart, &number) == 0)
    health.memory_errors = number;
  // Without room it says how many there are, and fails for that if there is any.
  unsigned count = 0;
  if (nvml_->processes != nullptr) nvml_->processes(nvml_->device, &count, nullptr);
  health.other_processes = count > 0 ? count - 1 : 0;  // one is this process
  return health;
}

void Cuda::read_limits() {
  std::array<char, 96> driver{};
  if (nvml_->driver(driver.data(), static_cast<unsigned>(driver.size())) == 0) info_.driver = driver.data();
  if (nvml_->max_clock != nullptr) {
    nvml_->max_clock(nvml_->device, kSm, &info_.max_sm_mhz);
    nvml_->max_clock(nvml_->device, kMemory, &info_.max_memory_mhz);
  }
  unsigned milliwatts = 0;
  if (nvml_->power_limit != nullptr && nvml_->power_limit(nvml_->device, &milliwatts) == 0)
    info_.power_limit_w = milliwatts / 1e3;
  unsigned now = 0;
  unsigned later = 0;
  if (nvml_->ecc_mode != nullptr && nvml_->ecc_mode(nvml_->device, &now, &later) == 0) info_.ecc = now != 0;
}

}  // namespace kernels::runtime

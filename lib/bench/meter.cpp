#include "meter.h"

#include <algorithm>
#include <fstream>
#include <thread>

namespace kernels::bench {

Result<Traffic> traffic_of(const FunctionSpec& function, const Sizes& sizes, DType dtype) {
  auto bytes = bytes_moved(function, sizes, dtype);  // refuses what is too large
  if (!bytes) return fail(std::move(bytes).error());
  Traffic traffic;
  for (const auto& argument : function.arguments) {
    if (argument.value) continue;
    auto size = bytes_moved(argument, sizes, dtype);
    if (!size) return fail(std::move(size).error());
    if (argument.access != Access::write) traffic.read += *size;
    if (argument.access != Access::read) traffic.written += *size;
    if (argument.access == Access::read_write) traffic.in_place += *size;
  }
  return traffic;
}

Rotation rotation(std::uint64_t bytes, std::uint64_t cache, std::uint64_t room, std::uint64_t most) {
  const auto size = std::max<std::uint64_t>(bytes, 1);
  const auto wanted = std::max<std::uint64_t>((2 * cache + size - 1) / size, 1);
  const auto sets = std::min({wanted, std::max<std::uint64_t>(room / size, 1), most});
  return {.sets = sets, .is_cold = sets * bytes >= 2 * cache};
}

DeviceRecord cpu_device() {
  return {.kind = "cpu",
          .name = cpu_name(),
          .multiprocessors = std::thread::hardware_concurrency(),
          .cache_bytes = cpu_cache_bytes()};
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

std::uint64_t cpu_cache_bytes() {
  std::uint64_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size");
    std::uint64_t kibibytes = 0;
    if (file >> kibibytes) largest = std::max(largest, kibibytes * 1024);
  }
  return largest == 0 ? 32ULL << 20 : largest;
}

Status refused(const runtime::CallResult& result) {
  if (result) return {};
  return fail(Errc::io, result.error().kind + ": " + result.error().message);
}

}  // namespace kernels::bench

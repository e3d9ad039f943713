#include <algorithm>

#include "findings.h"
#include "texts.h"

namespace kernels::machine {

namespace fs = std::filesystem;

namespace {

constexpr const char* kNodes = "/sys/class/kfd/kfd/topology/nodes";
constexpr std::size_t kMaxBanks = 64;

/// Memory of the GPU itself: public and private frame buffer. Other banks are those of processors.
std::uint64_t memory_of(const Sysroot& files, const fs::path& node) {
  constexpr std::uint64_t kPublic = 1;
  constexpr std::uint64_t kPrivate = 2;
  std::uint64_t bytes = 0;
  std::size_t banks = 0;
  for (const auto& name : files.list(node / "mem_banks")) {
    if (++banks > kMaxBanks) break;
    auto bank = parse_kfd_properties(files.read(node / "mem_banks" / name / "properties", 4096).value_or(""));
    auto type = bank["heap_type"];
    if (type == kPublic || type == kPrivate) bytes += bank["size_in_bytes"];
  }
  return bytes;
}

std::string hex(std::uint64_t value, unsigned digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  while (digits-- > 0)
    out += kDigits[(value >> (4 * digits)) & 15U];
  return out;
}

/// `0000:0c:00.0` of `location_id` (bus, device, function in one number) and `domain`.
std::string pci_of(std::uint64_t domain, std::uint64_t location) {
  if (location == 0) return {};
  return hex(domain, 4) + ":" + hex(location >> 8U, 2) + ":" + hex(location >> 3U & 31U, 2) + "." +
         hex(location & 7U, 1);
}

struct AmdGpu {
  Gpu gpu;
  std::string file;
};

std::optional<AmdGpu> read_node(const Sysroot& files, const std::string& name, std::size_t index) {
  fs::path node = fs::path(kNodes) / name;
  auto text = files.read(node / "properties", 16 << 10);
  if (!text) return std::nullopt;
  auto values = parse_kfd_properties(*text);
  auto version = values["gfx_target_version"];  // 0: a processor
  auto arch = gfx_name(version);
  if (!arch) return std::nullopt;
  Gpu gpu{.vendor = GpuVendor::amd, .index = index, .arch = *arch, .capability = gfx_capability(version)};
  gpu.pci = pci_of(values["domain"], values["location_id"]);
  if (auto id = values["unique_id"]; id != 0) gpu.uuid = "GPU-" + hex(id, 16);
  if (auto bytes = memory_of(files, node); bytes != 0) gpu.memory_bytes = bytes;
  auto product = files.read(fs::path("/sys/bus/pci/devices") / gpu.pci / "product_name", 256);
  if (product && !gpu.pci.empty()) gpu.name = shown(*product);
  return AmdGpu{.gpu = std::move(gpu), .file = (node / "properties").string()};
}

/// Nodes are numbered; names are sorted as text.
std::vector<std::string> node_names(const Sysroot& files) {
  auto names = files.list(kNodes);
  std::erase_if(names, [](const auto& name) { return !parse_number(name); });
  std::ranges::sort(names, {}, [](const auto& name) { return *parse_number(name); });
  return names;
}

void find_rocm(Findings& findings) {
  constexpr const char* kFile = "/opt/rocm/.info/version";
  auto text = findings.sysroot.read(kFile, 256).value_or("");
  auto version = MajorMinor::parse(text.substr(0, text.find_first_of("-\r\n")));
  if (!version) return;
  findings.fact(Topic::gpu, "ROCm", shown(text), kFile, Certainty::read);
  auto& target = findings.out.target;
  if (target.torch || target.backend.kind != BackendKind::cpu) return;
  target.backend = {.kind = BackendKind::rocm, .version = *version};
  findings.fact(Topic::gpu, "backend", target.backend.display(), kFile, Certainty::read);
}

void add_facts(Findings& findings, const AmdGpu& found) {
  const auto& gpu = found.gpu;
  auto add = [&](const char* what, std::string value, Certainty certainty) {
    findings.fact(Topic::gpu, std::string(what) + " of GPU " + std::to_string(gpu.index), std::move(value),
                  found.file, certainty);
  };
  if (!gpu.name.empty()) add("name", gpu.name, Certainty::read);
  add("architecture", gpu.arch, Certainty::read);
  add("capability", gpu.capability->str(), Certainty::inferred);
  if (gpu.memory_bytes) add("memory", std::to_string(*gpu.memory_bytes), Certainty::read);
  if (!gpu.uuid.empty()) add("uuid", gpu.uuid, Certainty::read);
  if (!gpu.pci.empty()) add("pci", gpu.pci, Certainty::read);
}

}  // namespace

void find_amd(Findings& findings) {
  auto& out = findings.out;
  std::size_t index = 0;
  std::vector<MajorMinor> capabilities;
  for (const auto& name : node_names(findings.sysroot)) {
    if (index >= kMaxGpus) break;
    auto found = read_node(findings.sysroot, name, index);
    if (!found) continue;
    ++index;
    add_facts(findings, *found);
    if (std::ranges::find(capabilities, *found->gpu.capability) == capabilities.end())
      capabilities.push_back(*found->gpu.capability);
    out.gpus.push_back(std::move(found->gpu));
  }
  if (index == 0) return;
  find_rocm(findings);
  // Capabilities of two vendors do not mix: those of the backend that kernels are chosen for count.
  if (out.target.backend.kind == BackendKind::rocm) out.target.capabilities = std::move(capabilities);
}

}  // namespace kernels::machine

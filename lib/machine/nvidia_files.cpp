#include <algorithm>
#include <map>

#include "kernels/model/cuda_releases.h"

#include "gpu_tables.h"
#include "loader.h"
#include "nvidia.h"
#include "texts.h"

namespace kernels::machine {

namespace fs = std::filesystem;

namespace {

void add(std::vector<Fact>& facts, const Gpu& gpu, const char* what, std::string value, std::string source,
         Certainty certainty) {
  facts.push_back({.name = std::string(what) + " of GPU " + std::to_string(gpu.index),
                   .value = std::move(value),
                   .source = std::move(source),
                   .certainty = certainty,
                   .topic = Topic::gpu});
}

class FilesReader {
 public:
  explicit FilesReader(const Sysroot& files) : files_(files) {}

  NvidiaFiles read() {
    find_on_pci();
    find_in_driver();
    number();
    find_tegra();
    out_.driver = read_driver_version(files_);
    if (out_.cuda || !out_.driver) return std::move(out_);
    if (auto cuda = cuda_of_driver(out_.driver->value))
      out_.cuda = {*cuda, "driver " + out_.driver->value, Certainty::inferred};
    return std::move(out_);
  }

 private:
  struct Found {
    Gpu gpu;
    std::vector<Fact> facts;
    std::optional<std::uint64_t> minor;  ///< of the device file, by which the driver names its MIG folders
  };

  std::optional<std::uint64_t> number_in(const fs::path& file) const {
    auto text = files_.read(file, 64);
    return text ? parse_number(*text) : std::nullopt;
  }

  /// Display controllers of NVIDIA. Their other functions are sound, USB and bridges.
  void find_on_pci() {
    constexpr std::uint64_t kNvidia = 0x10de;
    constexpr std::uint64_t kDisplay = 0x03;
    fs::path folder = "/sys/bus/pci/devices";
    for (const auto& id : files_.list(folder)) {
      if (found_.size() >= kMaxGpus) return;
      if (number_in(folder / id / "vendor") != kNvidia) continue;
      auto kind = number_in(folder / id / "class");
      if (!kind || *kind >> 16U != kDisplay) continue;
      auto& entry = found_[id];
      entry.gpu.pci = shown(id);
      auto device = number_in(folder / id / "device");
      if (!device) continue;
      entry.gpu.capability = capability_of_pci_device(*device);
      capability_source_[id] = (folder / id / "device").string();
    }
  }

  void find_in_driver() {
    fs::path folder = "/proc/driver/nvidia/gpus";
    for (const auto& id : files_.list(folder)) {
      if (found_.size() >= kMaxGpus && !found_.contains(id)) return;
      auto file = folder / id / "information";
      auto text = files_.read(file);
      if (!text) continue;
      auto values = parse_colon_lines(*text);
      auto& entry = found_[id];
      information_[id] = file.string();
      entry.gpu.pci = shown(id);
      entry.gpu.name = shown(values["Model"]);
      // A driver that has not started the GPU yet writes question marks.
      if (auto uuid = shown(values["GPU UUID"]); uuid.find('?') == std::string::npos) entry.gpu.uuid = uuid;
      entry.minor = parse_number(values["Device Minor"]);
      if (!entry.gpu.capability) {
        entry.gpu.capability = capability_of_model(entry.gpu.name);
        capability_source_[id] = "the model's name";
      }
      entry.gpu.memory_bytes = memory_of_model(entry.gpu.name);
      if (entry.minor) entry.gpu.mig = is_divided(*entry.minor);
    }
  }

  /// Nothing where the driver has no such folder: it is too old for MIG, or it is hidden from a container.
  std::optional<bool> is_divided(std::uint64_t minor) const {
    fs::path folder = "/proc/driver/nvidia/capabilities/gpu" + std::to_string(minor) + "/mig";
    if (!files_.is_folder("/proc/driver/nvidia/capabilities")) return std::nullopt;
    return std::ranges::any_of(files_.list(folder), [](const auto& name) { return name.starts_with("gi"); });
  }

  /// In the order of PCI, which the names sort by.
  void number() {
    for (auto& [id, entry] : found_) {
      auto& gpu = entry.gpu;
      gpu.index = out_.gpus.size();
      auto& facts = out_.facts;
      if (auto file = information_[id]; !file.empty()) {
        if (!gpu.name.empty()) add(facts, gpu, "name", gpu.name, file, Certainty::read);
        if (!gpu.uuid.empty()) add(facts, gpu, "uuid", gpu.uuid, file, Certainty::read);
      }
      if (gpu.capability)
        add(facts, gpu, "capability", gpu.capability->str(), capability_source_[id], Certainty::inferred);
      if (gpu.memory_bytes)
        add(facts, gpu, "memory", std::to_string(*gpu.memory_bytes), "the model's name", Certainty::inferred);
      if (gpu.mig)
        add(facts, gpu, "mig", *gpu.mig ? "on" : "off", "/proc/driver/nvidia/capabilities", Certainty::read);
      add(facts, gpu, "pci", gpu.pci, "/sys/bus/pci/devices", Certainty::read);
      out_.gpus.push_back(std::move(gpu));
    }
  }

  /// The GPU of a Jetson is a part of its processor and not on PCI.
  void find_tegra() {
    auto compatible = files_.read("/proc/device-tree/compatible", 4096);
    if (!compatible) return;
    constexpr const char* kSource = "/proc/device-tree/compatible";
    for (const auto& name : parse_string_list(*compatible)) {
      auto capability = capability_of_tegra(name);
      if (!capability) continue;
      Gpu gpu{.index = out_.gpus.size(), .capability = capability, .mig = false};
      auto model = parse_string_list(files_.read("/proc/device-tree/model", 4096).value_or(""));
      if (!model.empty()) gpu.name = shown(model.front());
      gpu.memory_bytes = memory_of_system();
      auto& facts = out_.facts;
      if (!gpu.name.empty()) add(facts, gpu, "name", gpu.name, "/proc/device-tree/model", Certainty::read);
      add(facts, gpu, "capability", capability->str(), kSource, Certainty::inferred);
      if (gpu.memory_bytes)
        add(facts, gpu, "memory", std::to_string(*gpu.memory_bytes), "/proc/meminfo, which it shares",
            Certainty::inferred);
      out_.gpus.push_back(std::move(gpu));
      return find_tegra_release();
    }
  }

  std::optional<std::uint64_t> memory_of_system() const {
    auto values = parse_colon_lines(files_.read("/proc/meminfo", 4096).value_or(""));
    const auto& text = values["MemTotal"];
    auto kib = parse_number(text.substr(0, text.find(' ')));
    if (!kib || *kib > (1ULL << 50U)) return std::nullopt;
    return *kib * 1024;
  }

  void find_tegra_release() {
    constexpr const char* kFile = "/etc/nv_tegra_release";
    auto release = parse_tegra_release(files_.read(kFile, 4096).value_or(""));
    if (!release) return;
    out_.facts.push_back({.name = "Jetson Linux",
                          .value = *release,
                          .source = kFile,
                          .certainty = Certainty::read,
                          .topic = Topic::gpu});
    if (auto cuda = cuda_of_tegra_release(*release))
      out_.cuda = {*cuda, "Jetson Linux " + *release, Certainty::inferred};
  }

  const Sysroot& files_;
  std::map<std::string, Found> found_;  // by PCI id
  std::map<std::string, std::string> information_;
  std::map<std::string, std::string> capability_source_;
  NvidiaFiles out_;
};

}  // namespace

std::optional<Sourced<std::string>> read_driver_version(const Sysroot& sysroot) {
  constexpr const char* kProc = "/proc/driver/nvidia/version";
  if (auto version = parse_driver_version(sysroot.read(kProc, 4096).value_or("")))
    return Sourced<std::string>{*version, kProc, Certainty::read};
  constexpr const char* kModule = "/sys/module/nvidia/version";
  if (auto version = find_dotted(sysroot.read(kModule, 256).value_or("")))
    return Sourced<std::string>{*version, kModule, Certainty::read};
  auto library = find_library(sysroot, "libcuda.so.1");
  auto real = library ? sysroot.real(*library) : std::nullopt;
  constexpr std::string_view kName = "libcuda.so.";
  auto name = real ? real->filename().string() : std::string();
  if (!name.starts_with(kName)) return std::nullopt;
  auto version = find_dotted(name.substr(kName.size()));
  // On a Jetson the file is libcuda.so.1.1, whatever the driver.
  constexpr std::uint32_t kLowestBranch = 100;
  if (!version || MajorMinor::parse(*version)->major < kLowestBranch) return std::nullopt;
  return Sourced<std::string>{*version, real->string(), Certainty::inferred};
}

NvidiaFiles read_nvidia_files(const Sysroot& sysroot) {
  return FilesReader(sysroot).read();
}

void add_gpu_facts(const Gpu& gpu, const std::string& source, Certainty certainty, std::vector<Fact>& facts) {
  if (!gpu.name.empty()) add(facts, gpu, "name", gpu.name, source, certainty);
  if (gpu.capability) add(facts, gpu, "capability", gpu.capability->str(), source, certainty);
  if (gpu.memory_bytes) add(facts, gpu, "memory", std::to_string(*gpu.memory_bytes), source, certainty);
  if (!gpu.uuid.empty()) add(facts, gpu, "uuid", gpu.uuid, source, certainty);
  if (!gpu.pci.empty()) add(facts, gpu, "pci", gpu.pci, source, certainty);
  if (gpu.mig) add(facts, gpu, "mig", *gpu.mig ? "on" : "off", source, certainty);
  if (gpu.ecc) add(facts, gpu, "ecc", *gpu.ecc ? "on" : "off", source, certainty);
}

}  // namespace kernels::machine

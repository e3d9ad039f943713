// The two libraries of NVIDIA's driver, loaded at run time and asked without a context.

#include <algorithm>
#include <array>
#include <cctype>

#include <dlfcn.h>

#include "nvidia.h"
#include "texts.h"

namespace kernels::machine {

namespace {

template <class Signature>
Signature* symbol(void* library, const char* name) {
  return reinterpret_cast<Signature*>(::dlsym(library, name));
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/// NVML writes the domain with eight digits, others with four.
std::string pci_id(const std::string& text) {
  auto id = lower(shown(text));
  return id.size() == 16 && id.starts_with("0000") ? id.substr(4) : id;
}

std::string uuid_text(const std::array<unsigned char, 16>& bytes) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += kHex[bytes[i] >> 4U];
    out += kHex[bytes[i] & 15U];
  }
  return out;
}

class Cuda {
 public:
  explicit Cuda(void* library)
      : init_(symbol<int(unsigned)>(library, "cuInit")),
        version_(symbol<int(int*)>(library, "cuDriverGetVersion")),
        count_(symbol<int(int*)>(library, "cuDeviceGetCount")),
        get_(symbol<int(int*, int)>(library, "cuDeviceGet")),
        attribute_(symbol<int(int*, int, int)>(library, "cuDeviceGetAttribute")),
        name_(symbol<int(char*, int, int)>(library, "cuDeviceGetName")),
        memory_(symbol<int(std::size_t*, int)>(library, "cuDeviceTotalMem_v2")),
        uuid_(symbol<int(unsigned char*, int)>(library, "cuDeviceGetUuid_v2")),
        pci_(symbol<int(char*, int, int)>(library, "cuDeviceGetPCIBusId")),
        error_name_(symbol<int(int, const char**)>(library, "cuGetErrorName")) {}

  CudaAnswer ask() const {
    CudaAnswer out{.state = CudaState::failed};
    if (init_ == nullptr || version_ == nullptr || count_ == nullptr || attribute_ == nullptr) {
      out.failure = "libcuda.so.1 lacks functions of the driver";
      return out;
    }
    int version = 0;
    if (version_(&version) == 0 && version > 0)
      out.cuda = MajorMinor{.major = static_cast<std::uint32_t>(version / 1000),
                            .minor = static_cast<std::uint32_t>(version % 1000 / 10)};
    constexpr int kNoDevice = 100;
    int count = 0;
    int code = init_(0);
    if (code == 0) code = count_(&count);
    if (code != 0 && code != kNoDevice) {
      out.failure = "cuInit answers " + error_text(code);
      return out;
    }
    for (int ordinal = 0; ordinal < count; ++ordinal)
      if (auto gpu = describe(ordinal)) out.gpus.push_back(std::move(*gpu));
    out.state = out.gpus.empty() ? CudaState::no_gpu : CudaState::usable;
    return out;
  }

 private:
  std::string error_text(int code) const {
    const char* name = nullptr;
    if (error_name_ != nullptr && error_name_(code, &name) == 0 && name != nullptr)
      return std::to_string(code) + " (" + shown(name) + ")";
    return std::to_string(code);
  }

  std::optional<Gpu> describe(int ordinal) const {
    constexpr int kEcc = 32;
    constexpr int kMajor = 75;
    constexpr int kMinor = 76;
    int device = ordinal;
    if (get_ != nullptr && get_(&device, ordinal) != 0) return std::nullopt;
    int major = 0;
    int minor = 0;
    if (attribute_(&major, kMajor, device) != 0 || attribute_(&minor, kMinor, device) != 0)
      return std::nullopt;
    Gpu gpu{.index = static_cast<std::size_t>(ordinal)};
    gpu.capability =
        MajorMinor{.major = static_cast<std::uint32_t>(major), .minor = static_cast<std::uint32_t>(minor)};
    int ecc = 0;
    if (attribute_(&ecc, kEcc, device) == 0) gpu.ecc = ecc != 0;
    std::size_t bytes = 0;
    if (memory_ != nullptr && memory_(&bytes, device) == 0) gpu.memory_bytes = bytes;
    std::array<char, 256> text{};
    if (name_ != nullptr && name_(text.data(), text.size() - 1, device) == 0) gpu.name = shown(text.data());
    text = {};
    if (pci_ != nullptr && pci_(text.data(), text.size() - 1, device) == 0) gpu.pci = pci_id(text.data());
    // A slice has a name such as `NVIDIA H100 80GB HBM3 MIG 1g.10gb`.
    bool is_slice = gpu.name.find(" MIG ") != std::string::npos;
    if (is_slice) gpu.mig = true;
    std::array<unsigned char, 16> uuid{};
    if (uuid_ != nullptr && uuid_(uuid.data(), device) == 0)
      gpu.uuid = (is_slice ? "MIG-" : "GPU-") + uuid_text(uuid);
    return gpu;
  }

  int (*init_)(unsigned);
  int (*version_)(int*);
  int (*count_)(int*);
  int (*get_)(int*, int);
  int (*attribute_)(int*, int, int);
  int (*name_)(char*, int, int);
  int (*memory_)(std::size_t*, int);
  int (*uuid_)(unsigned char*, int);
  int (*pci_)(char*, int, int);
  int (*error_name_)(int, const char**);
};

/// Ends NVML when done; it may be started again by others.
class Nvml {
 public:
  using Device = void*;

  explicit Nvml(void* library)
      : init_(symbol<int()>(library, "nvmlInit_v2")),
        shutdown_(symbol<int()>(library, "nvmlShutdown")),
        driver_(symbol<int(char*, unsigned)>(library, "nvmlSystemGetDriverVersion")),
        count_(symbol<int(unsigned*)>(library, "nvmlDeviceGetCount_v2")),
        by_index_(symbol<int(unsigned, Device*)>(library, "nvmlDeviceGetHandleByIndex_v2")),
        name_(symbol<int(Device, char*, unsigned)>(library, "nvmlDeviceGetName")),
        uuid_(symbol<int(Device, char*, unsigned)>(library, "nvmlDeviceGetUUID")),
        capability_(symbol<int(Device, int*, int*)>(library, "nvmlDeviceGetCudaComputeCapability")),
        memory_(symbol<int(Device, Memory*)>(library, "nvmlDeviceGetMemoryInfo")),
        pci_(symbol<int(Device, PciInfo*)>(library, "nvmlDeviceGetPciInfo_v3")),
        mig_(symbol<int(Device, unsigned*, unsigned*)>(library, "nvmlDeviceGetMigMode")),
        ecc_(symbol<int(Device, unsigned*, unsigned*)>(library, "nvmlDeviceGetEccMode")) {}

  std::optional<NvmlAnswer> ask() const {
    if (init_ == nullptr || init_() != 0) return std::nullopt;
    NvmlAnswer out;
    std::array<char, 96> text{};
    if (driver_ != nullptr && driver_(text.data(), text.size() - 1) == 0) out.driver = shown(text.data());
    unsigned count = 0;
    if (count_ != nullptr && by_index_ != nullptr && count_(&count) == 0)
      for (unsigned index = 0; index < count; ++index) {
        Device device = nullptr;
        if (by_index_(index, &device) == 0) out.gpus.push_back(describe(index, device));
      }
    if (shutdown_ != nullptr) shutdown_();
    return out;
  }

 private:
  struct Memory {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
  };
  struct PciInfo {
    std::array<char, 16> legacy_id;
    unsigned domain;
    unsigned bus;
    unsigned device;
    unsigned device_id;
    unsigned subsystem_id;
    std::array<char, 32> id;
  };

  Gpu describe(unsigned index, Device device) const {
    Gpu gpu{.index = index};
    std::array<char, 128> text{};
    if (name_ != nullptr && name_(device, text.data(), text.size() - 1) == 0) gpu.name = shown(text.data());
    text = {};
    if (uuid_ != nullptr && uuid_(device, text.data(), text.size() - 1) == 0) gpu.uuid = shown(text.data());
    int major = 0;
    int minor = 0;
    if (capability_ != nullptr && capability_(device, &major, &minor) == 0)
      gpu.capability =
          MajorMinor{.major = static_cast<std::uint32_t>(major), .minor = static_cast<std::uint32_t>(minor)};
    Memory memory{};
    if (memory_ != nullptr && memory_(device, &memory) == 0) gpu.memory_bytes = memory.total;
    PciInfo pci{};
    if (pci_ != nullptr && pci_(device, &pci) == 0) {
      pci.id.back() = '\0';
      gpu.pci = pci_id(pci.id.data());
    }
    unsigned now = 0;
    unsigned later = 0;
    if (mig_ != nullptr && mig_(device, &now, &later) == 0) gpu.mig = now != 0;
    if (ecc_ != nullptr && ecc_(device, &now, &later) == 0) gpu.ecc = now != 0;
    return gpu;
  }

  int (*init_)();
  int (*shutdown_)();
  int (*driver_)(char*, unsigned);
  int (*count_)(unsigned*);
  int (*by_index_)(unsigned, Device*);
  int (*name_)(Device, char*, unsigned);
  int (*uuid_)(Device, char*, unsigned);
  int (*capability_)(Device, int*, int*);
  int (*memory_)(Device, Memory*);
  int (*pci_)(Device, PciInfo*);
  int (*mig_)(Device, unsigned*, unsigned*);
  int (*ecc_)(Device, unsigned*, unsigned*);
};

}  // namespace

CudaAnswer ask_cuda() {
  void* library = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library != nullptr) return Cuda(library).ask();
  const char* reason = ::dlerror();
  std::string text = reason == nullptr ? "" : shown(reason);
  // Everything but "there is none" is a fault of the installation.
  if (text.empty() || text.find("libcuda.so.1: cannot open shared object file: No such file") == 0) return {};
  return {.state = CudaState::failed, .failure = text};
}

std::optional<NvmlAnswer> ask_nvml() {
  void* library = ::dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return std::nullopt;
  return Nvml(library).ask();
}

}  // namespace kernels::machine

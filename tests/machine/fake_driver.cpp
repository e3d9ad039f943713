// A driver library that says what KERNELS_TEST_GPUS says, built twice: as libcuda.so.1 and, with the same
// functions beside, as libnvidia-ml.so.1. Each GPU is `capability,name,pci,GiB`, between semicolons; a name
// with ` MIG ` is a slice. KERNELS_TEST_CUINIT is the answer of cuInit.

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

struct Gpu {
  int major = 0;
  int minor = 0;
  std::string name;
  std::string pci;
  std::size_t gib = 0;
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> out(1);
  for (char c : text) {
    if (c == at)
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

std::vector<Gpu> read_gpus(const char* variable) {
  std::vector<Gpu> out;
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return out;
  for (const auto& item : split(text, ';')) {
    auto parts = split(item, ',');
    out.push_back({.major = std::atoi(parts.at(0).c_str()),
                   .minor = std::atoi(parts.at(0).substr(parts.at(0).find('.') + 1).c_str()),
                   .name = parts.at(1),
                   .pci = parts.at(2),
                   .gib = static_cast<std::size_t>(std::atoi(parts.at(3).c_str()))});
  }
  return out;
}

int copy(const std::string& text, char* to, std::size_t size) {
  std::snprintf(to, size, "%s", text.c_str());
  return 0;
}

}  // namespace

extern "C" {

#ifdef FAKE_CUDA
static const std::vector<Gpu>& gpus() {
  static const auto all = read_gpus("KERNELS_TEST_GPUS");
  return all;
}

int cuInit(unsigned) {
  const char* code = std::getenv("KERNELS_TEST_CUINIT");
  if (code != nullptr) return std::atoi(code);
  return gpus().empty() ? 100 : 0;
}
int cuDriverGetVersion(int* version) {
  const char* text = std::getenv("KERNELS_TEST_CUDA");
  *version = text != nullptr ? std::atoi(text) : 13000;
  return 0;
}
int cuDeviceGetCount(int* count) {
  *count = static_cast<int>(gpus().size());
  return 0;
}
int cuDeviceGet(int* device, int ordinal) {
  *device = 100 + ordinal;  // a handle is not an ordinal
  return 0;
}
static const Gpu& at(int device) {
  return gpus().at(static_cast<std::size_t>(device - 100));
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  *value = attribute == 75 ? at(device).major : attribute == 76 ? at(device).minor : 1;
  return 0;
}
int cuDeviceGetName(char* name, int size, int device) {
  return copy(at(device).name, name, static_cast<std::size_t>(size));
}
int cuDeviceTotalMem_v2(std::size_t* bytes, int device) {
  *bytes = at(device).gib << 30U;
  return 0;
}
int cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
  std::memset(uuid, device, 16);
  return 0;
}
int cuDeviceGetPCIBusId(char* id, int size, int device) {
  return copy(at(device).pci, id, static_cast<std::size_t>(size));
}
int cuGetErrorName(int code, const char** name) {
  *name = code == 803 ? "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" : "CUDA_ERROR_UNKNOWN";
  return 0;
}
#else
static const std::vector<Gpu>& gpus() {
  static const auto all = read_gpus("KERNELS_TEST_NVML_GPUS");
  return all;
}
struct Pci {
  char legacy[16];
  unsigned numbers[5];
  char id[32];
};

int nvmlInit_v2() {
  return std::getenv("KERNELS_TEST_NVML_GPUS") == nullptr ? 999 : 0;
}
int nvmlShutdown() {
  return 0;
}
int nvmlSystemGetDriverVersion(char* text, unsigned size) {
  return copy("580.65.06", text, size);
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = static_cast<unsigned>(gpus().size());
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, const void** device) {
  *device = &gpus().at(index);
  return 0;
}
int nvmlDeviceGetName(const Gpu* gpu, char* name, unsigned size) {
  return copy(gpu->name, name, size);
}
int nvmlDeviceGetUUID(const Gpu* gpu, char* uuid, unsigned size) {
  return copy("GPU-of-" + gpu->pci, uuid, size);
}
int nvmlDeviceGetCudaComputeCapability(const Gpu* gpu, int* major, int* minor) {
  *major = gpu->major;
  *minor = gpu->minor;
  return 0;
}
int nvmlDeviceGetPciInfo_v3(const Gpu* gpu, Pci* pci) {
  // NVML writes the domain with eight digits.
  return copy("0000" + gpu->pci, pci->id, sizeof pci->id);
}
int nvmlDeviceGetMigMode(const Gpu* gpu, unsigned* now, unsigned* later) {
  *now = *later = gpu->name.find("divided") == std::string::npos ? 0 : 1;
  return 0;
}
int nvmlDeviceGetEccMode(const Gpu*, unsigned* now, unsigned* later) {
  *now = *later = 1;
  return 0;
}
#endif
}

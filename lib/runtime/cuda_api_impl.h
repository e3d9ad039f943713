#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <dlfcn.h>

#include "kernels/runtime/cuda.h"

// The driver's functions, declared here by what they are known to take (CUDA driver API reference, 13.0).
// Names with _v2 are the 64-bit forms that the headers of CUDA select. Handles are opaque pointers, addresses
// 64-bit numbers.

namespace kernels::runtime {

struct Uuid {
  std::array<unsigned char, 16> bytes;
};

/// CUDA_KERNEL_NODE_PARAMS_v2
struct KernelNode {
  void* function;
  std::array<unsigned, 3> grid;
  std::array<unsigned, 3> block;
  unsigned shared_bytes;
  void** arguments;
  void** extra;
  void* kernel;
  void* context;
};

template <class F>
bool resolve(void* library, F*& function, const char* name) {
  function = reinterpret_cast<F*>(dlsym(library, name));
  return function != nullptr;
}

struct Cuda::Api {
  int (*init)(unsigned);
  int (*driver_version)(int*);
  int (*device_count)(int*);
  int (*device_get)(int*, int);
  int (*device_name)(char*, int, int);
  int (*device_uuid)(Uuid*, int);
  int (*device_attribute)(int*, int, int);
  int (*device_memory)(std::size_t*, int);
  int (*device_pci)(char*, int, int);
  int (*retain)(void**, int);
  int (*release)(int);
  int (*set_current)(void*);
  int (*memory_info)(std::size_t*, std::size_t*);
  int (*allocate)(std::uint64_t*, std::size_t);
  int (*free)(std::uint64_t);
  int (*to_device)(std::uint64_t, const void*, std::size_t, void*);
  int (*to_host)(void*, std::uint64_t, std::size_t, void*);
  int (*inside)(std::uint64_t, std::uint64_t, std::size_t, void*);
  int (*fill)(std::uint64_t, unsigned char, std::size_t, void*);
  int (*stream_create)(void**, unsigned);
  int (*stream_destroy)(void*);
  int (*stream_wait)(void*);
  int (*begin_capture)(void*, int);
  int (*end_capture)(void*, void**);
  int (*event_create)(void**, unsigned);
  int (*event_record)(void*, void*);
  int (*event_wait)(void*);
  int (*event_elapsed)(float*, void*, void*);
  int (*event_destroy)(void*);
  int (*graph_nodes)(void*, void**, std::size_t*);
  int (*node_type)(void*, int*);
  // Optional: what a recorded kernel is.
  int (*kernel_params)(void*, KernelNode*) = nullptr;
  int (*function_name)(const char**, void*) = nullptr;
  int (*function_attribute)(int*, int, void*) = nullptr;
  int (*kernel_name)(const char**, void*) = nullptr;
  int (*kernel_function)(void**, void*) = nullptr;
  int (*instantiate)(void**, void*, unsigned long long);
  int (*graph_launch)(void*, void*);
  int (*graph_exec_destroy)(void*);
  int (*graph_destroy)(void*);
  int (*module_load)(void**, const void*);
  int (*module_function)(void**, void*, const char*);
  int (*module_unload)(void*);
  int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**,
                void**);
  int (*error_name)(int, const char**);
  int (*error_text)(int, const char**);

  bool load(void* lib) {
    return resolve(lib, init, "cuInit") && resolve(lib, driver_version, "cuDriverGetVersion") &&
           resolve(lib, device_count, "cuDeviceGetCount") && resolve(lib, device_get, "cuDeviceGet") &&
           resolve(lib, device_name, "cuDeviceGetName") && resolve(lib, device_uuid, "cuDeviceGetUuid_v2") &&
           resolve(lib, device_attribute, "cuDeviceGetAttribute") &&
           resolve(lib, device_memory, "cuDeviceTotalMem_v2") &&
           resolve(lib, device_pci, "cuDeviceGetPCIBusId") &&
           resolve(lib, retain, "cuDevicePrimaryCtxRetain") &&
           resolve(lib, release, "cuDevicePrimaryCtxRelease_v2") &&
           resolve(lib, set_current, "cuCtxSetCurrent") && resolve(lib, memory_info, "cuMemGetInfo_v2") &&
           resolve(lib, allocate, "cuMemAlloc_v2") && resolve(lib, free, "cuMemFree_v2") && load_work(lib);
  }

 private:
  bool load_work(void* lib) {
    return resolve(lib, to_device, "cuMemcpyHtoDAsync_v2") && resolve(lib, to_host, "cuMemcpyDtoHAsync_v2") &&
           resolve(lib, inside, "cuMemcpyDtoDAsync_v2") && resolve(lib, fill, "cuMemsetD8Async") &&
           resolve(lib, stream_create, "cuStreamCreate") &&
           resolve(lib, stream_destroy, "cuStreamDestroy_v2") &&
           resolve(lib, stream_wait, "cuStreamSynchronize") &&
           resolve(lib, begin_capture, "cuStreamBeginCapture_v2") &&
           resolve(lib, end_capture, "cuStreamEndCapture") && resolve(lib, event_create, "cuEventCreate") &&
           resolve(lib, event_record, "cuEventRecord") && resolve(lib, event_wait, "cuEventSynchronize") &&
           (resolve(lib, event_elapsed, "cuEventElapsedTime_v2") ||
            resolve(lib, event_elapsed, "cuEventElapsedTime")) &&
           resolve(lib, event_destroy, "cuEventDestroy_v2") && load_graphs(lib);
  }
  bool load_graphs(void* lib) {
    resolve(lib, kernel_params, "cuGraphKernelNodeGetParams_v2");
    resolve(lib, function_name, "cuFuncGetName");
    resolve(lib, function_attribute, "cuFuncGetAttribute");
    resolve(lib, kernel_name, "cuKernelGetName");
    resolve(lib, kernel_function, "cuKernelGetFunction");
    return resolve(lib, graph_nodes, "cuGraphGetNodes") && resolve(lib, node_type, "cuGraphNodeGetType") &&
           resolve(lib, instantiate, "cuGraphInstantiateWithFlags") &&
           resolve(lib, graph_launch, "cuGraphLaunch") &&
           resolve(lib, graph_exec_destroy, "cuGraphExecDestroy") &&
           resolve(lib, graph_destroy, "cuGraphDestroy") && resolve(lib, module_load, "cuModuleLoadData") &&
           resolve(lib, module_function, "cuModuleGetFunction") &&
           resolve(lib, module_unload, "cuModuleUnload") && resolve(lib, launch, "cuLaunchKernel") &&
           resolve(lib, error_name, "cuGetErrorName") && resolve(lib, error_text, "cuGetErrorString");
  }
};

/// Everything here is optional: a machine without NVML reports no health.
struct Cuda::Nvml {
  int (*init)() = nullptr;
  int (*by_pci)(const char*, void**) = nullptr;
  int (*driver)(char*, unsigned) = nullptr;
  int (*clock)(void*, int, unsigned*) = nullptr;
  int (*max_clock)(void*, int, unsigned*) = nullptr;
  int (*reasons)(void*, unsigned long long*) = nullptr;
  int (*power)(void*, unsigned*) = nullptr;
  int (*power_limit)(void*, unsigned*) = nullptr;
  int (*temperature)(void*, int, unsigned*) = nullptr;
  int (*ecc_mode)(void*, unsigned*, unsigned*) = nullptr;
  int (*ecc_errors)(void*, int, int, unsigned long long*) = nullptr;
  int (*processes)(void*, unsigned*, void*) = nullptr;
  void* device = nullptr;

  bool load(const char* pci) {
    void* lib = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (lib == nullptr) return false;
    const bool found =
        resolve(lib, init, "nvmlInit_v2") && resolve(lib, by_pci, "nvmlDeviceGetHandleByPciBusId_v2") &&
        resolve(lib, driver, "nvmlSystemGetDriverVersion") && resolve(lib, clock, "nvmlDeviceGetClockInfo");
    if (!resolve(lib, reasons, "nvmlDeviceGetCurrentClocksEventReasons"))
      resolve(lib, reasons, "nvmlDeviceGetCurrentClocksThrottleReasons");
    resolve(lib, max_clock, "nvmlDeviceGetMaxClockInfo");
    resolve(lib, power, "nvmlDeviceGetPowerUsage");
    resolve(lib, power_limit, "nvmlDeviceGetEnforcedPowerLimit");
    resolve(lib, temperature, "nvmlDeviceGetTemperature");
    resolve(lib, ecc_mode, "nvmlDeviceGetEccMode");
    resolve(lib, ecc_errors, "nvmlDeviceGetTotalEccErrors");
    resolve(lib, processes, "nvmlDeviceGetComputeRunningProcesses_v3");
    return found && init() == 0 && by_pci(pci, &device) == 0;
  }
};

}  // namespace kernels::runtime

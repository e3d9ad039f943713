#include <dlfcn.h>

#include "runner_impl.h"
#include "torch_shim_impl.h"

namespace kernels::runtime {

namespace {

namespace fs = std::filesystem;

/// Takes functions out of everything that is loaded, and remembers the first that is missing.
class Symbols {
 public:
  template <class Function>
  void need(Function& function, const char* name) {
    if (!find(function, name) && missing_.empty()) missing_ = name;
  }
  template <class Function>
  bool find(Function& function, const char* name) {
    for (void* handle : handles_)
      if (void* symbol = dlsym(handle, name); symbol != nullptr) {
        function = reinterpret_cast<Function>(symbol);
        return true;
      }
    return false;
  }
  void add(void* handle) { handles_.push_back(handle); }
  const std::string& missing() const { return missing_; }

 private:
  std::vector<void*> handles_;
  std::string missing_;
};

void find_c_interface(Symbols& symbols, TorchShim& shim) {
  symbols.need(shim.abi_version, "aoti_torch_abi_version");
  symbols.need(shim.dtype_float32, "aoti_torch_dtype_float32");
  symbols.need(shim.dtype_float16, "aoti_torch_dtype_float16");
  symbols.need(shim.dtype_bfloat16, "aoti_torch_dtype_bfloat16");
  symbols.need(shim.dtype_float64, "aoti_torch_dtype_float64");
  symbols.need(shim.dtype_float8, "aoti_torch_dtype_float8_e4m3fn");
  symbols.need(shim.dtype_int32, "aoti_torch_dtype_int32");
  symbols.need(shim.dtype_int64, "aoti_torch_dtype_int64");
  symbols.need(shim.device_cpu, "aoti_torch_device_type_cpu");
  symbols.need(shim.device_cuda, "aoti_torch_device_type_cuda");
  symbols.need(shim.layout_strided, "aoti_torch_layout_strided");
  symbols.need(shim.from_blob, "aoti_torch_create_tensor_from_blob_v2");
  symbols.need(shim.new_handle, "aoti_torch_new_tensor_handle");
  symbols.need(shim.delete_tensor, "aoti_torch_delete_tensor_object");
  symbols.need(shim.call, "aoti_torch_call_dispatcher");
  symbols.find(shim.call_versioned, "torch_call_dispatcher");
  symbols.find(shim.last_error, "torch_exception_get_what");
}

void find_dispatcher(Symbols& symbols, TorchShim& shim) {
  symbols.need(shim.dispatcher, "_ZN3c1010Dispatcher13realSingletonEv");
  symbols.need(shim.operator_names, "_ZN3c1010Dispatcher13getAllOpNamesEv");
  symbols.need(shim.find_schema, "_ZN3c1010Dispatcher17findSchemaOrThrowEPKcS2_");
  symbols.need(shim.dump_state, "_ZNK3c104impl13OperatorEntry9dumpStateB5cxx11Ev");
}

}  // namespace

Result<TorchShim> load_torch(const fs::path& folder, bool with_cuda) {
  std::error_code code;
  if (!fs::exists(folder / "libtorch_cpu.so", code))
    return fail(Error(Errc::not_found, "no `libtorch_cpu.so` in `" + folder.string() + "`")
                    .with_hint("name the folder `torch/lib` of a PyTorch with --torch-lib"));
  Symbols symbols;
  for (const char* name :
       {"libc10.so", "libtorch_cpu.so", "libc10_cuda.so", "libtorch_cuda.so", "libtorch.so"}) {
    const std::string file = name;
    const bool is_cuda = file.find("cuda") != std::string::npos;
    if (!fs::exists(folder / file, code) || (is_cuda && !with_cuda)) continue;
    // libtorch.so of a build with CUDA only names the others.
    if (file == "libtorch.so" && !with_cuda) continue;
    // Bound as it is used: to bind all of libtorch at once takes seconds.
    auto handle = load_library(folder / file, RTLD_LAZY | RTLD_GLOBAL);
    if (!handle) return fail(std::move(handle).error());
    symbols.add(*handle);
  }
  TorchShim shim;
  find_c_interface(symbols, shim);
  find_dispatcher(symbols, shim);
  if (with_cuda) symbols.need(shim.make_stream_guard, "aoti_torch_create_cuda_stream_guard");
  if (!symbols.missing().empty())
    return fail(Error(Errc::unsupported,
                      "the libtorch in `" + folder.string() + "` lacks `" + symbols.missing() + "`")
                    .with_hint(with_cuda ? "PyTorch 2.7 or later with CUDA is needed"
                                         : "PyTorch 2.7 or later is needed"));
  return shim;
}

}  // namespace kernels::runtime

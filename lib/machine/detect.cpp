#include "kernels/machine/detect.h"

#include <algorithm>
#include <cstdlib>

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <sys/utsname.h>

#include "kernels/base/file.h"

namespace kernels::machine {

namespace fs = std::filesystem;

namespace {

using Lookup = std::function<std::optional<std::string>(const char*)>;

/// The tvm-ffi version whose functions our own provider library has.
constexpr MajorMinor kBundledTvmFfi{.major = 0, .minor = 1};

void add_site_packages(const fs::path& prefix, std::vector<fs::path>& out) {
  std::error_code code;
  for (const char* lib : {"lib", "lib64"})
    for (fs::directory_iterator it(prefix / lib, code), end; !code && it != end; it.increment(code)) {
      if (!it->path().filename().string().starts_with("python3")) continue;
      for (const char* name : {"site-packages", "dist-packages"}) {
        std::error_code ignored;
        if (fs::is_directory(it->path() / name, ignored)) out.push_back(it->path() / name);
      }
    }
}

std::optional<fs::path> find_on_path(const Lookup& environment, const std::string& program) {
  auto path = environment("PATH").value_or("");
  for (std::size_t begin = 0; begin <= path.size();) {
    auto end = std::min(path.find(':', begin), path.size());
    auto candidate = fs::path(path.substr(begin, end - begin)) / program;
    std::error_code code;
    if (end > begin && fs::is_regular_file(candidate, code)) return candidate;
    begin = end + 1;
  }
  return std::nullopt;
}

/// Folders with Python packages of the active environment, the most specific first.
std::vector<fs::path> site_packages(const Lookup& environment) {
  std::vector<fs::path> out;
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (auto prefix = environment(name); prefix && !prefix->empty()) {
      add_site_packages(*prefix, out);
      return out;  // an active environment hides the system's packages
    }
  if (auto python = find_on_path(environment, "python3")) {
    add_site_packages(python->parent_path().parent_path(), out);
    std::error_code code;
    auto real = fs::canonical(*python, code);
    if (!code && real.parent_path() != python->parent_path())
      add_site_packages(real.parent_path().parent_path(), out);
    if (python->parent_path() == "/usr/bin") {
      out.emplace_back("/usr/lib/python3/dist-packages");
      add_site_packages("/usr/local", out);
    }
  }
  return out;
}

class Detector {
 public:
  explicit Detector(const Lookup& environment) : environment_(environment) {}

  Detected run() {
    system();
    sites_ = site_packages(environment_);
    torch();
    tvm_ffi();
    gpu();
    complete_target(out_.target);
    return std::move(out_);
  }

 private:
  void fact(std::string name, std::string value, std::string source) {
    out_.facts.push_back({.name = std::move(name), .value = std::move(value), .source = std::move(source)});
  }

  void system() {
    struct utsname info{};
    ::uname(&info);
    out_.target.os = "linux";
    out_.target.cpu = info.machine;
    out_.target.name = "this machine";
    fact("os", "linux", "uname");
    fact("cpu", info.machine, "uname");
    const char* libc = ::gnu_get_libc_version();
    if (auto version = MajorMinor::parse(libc)) out_.target.glibc = *version;
    fact("glibc", libc, "gnu_get_libc_version");
  }

  void torch() {
    for (const auto& site : sites_) {
      auto file = site / "torch" / "version.py";
      auto text = read_file(file, 1 << 16);
      if (!text) continue;
      auto version = MajorMinor::parse(python_constant(*text, "__version__").value_or(""));
      if (!version) continue;
      out_.target.torch = *version;
      fact("torch", version->str(), file.string());
      torch_backend(*text, file.string());
      return;
    }
    fact("torch", "none", "none found");
  }

  void torch_backend(const std::string& text, const std::string& source) {
    for (auto [name, kind] : {std::pair{"cuda", BackendKind::cuda}, std::pair{"hip", BackendKind::rocm},
                              std::pair{"xpu", BackendKind::xpu}}) {
      auto version = MajorMinor::parse(python_constant(text, name).value_or(""));
      if (!version) continue;
      out_.target.backend = {.kind = kind, .version = *version};
      fact("backend", out_.target.backend.display(), source);
      return;
    }
    fact("backend", "CPU", source);
  }

  void tvm_ffi() {
    constexpr std::string_view kPrefix = "apache_tvm_ffi-";
    for (const auto& site : sites_) {
      std::error_code code;
      for (fs::directory_iterator it(site, code), end; !code && it != end; it.increment(code)) {
        auto name = it->path().filename().string();
        if (!name.starts_with(kPrefix) || !name.ends_with(".dist-info")) continue;
        auto version = MajorMinor::parse(name.substr(kPrefix.size(), name.size() - kPrefix.size() - 10));
        if (!version) continue;
        out_.target.tvm_ffi = *version;
        return fact("tvm-ffi", version->str(), it->path().string());
      }
    }
    out_.target.tvm_ffi = kBundledTvmFfi;
    fact("tvm-ffi", kBundledTvmFfi.str(), "the provider of this program");
  }

  void gpu() {
    void* library = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (library == nullptr) {
      if (!out_.target.torch) fact("backend", "CPU", "no libcuda.so.1");
      return;
    }
    query(library);
    // The driver starts threads of its own: unloading it again is not safe.
  }

  void query(void* library) {
    auto init = symbol<int(unsigned)>(library, "cuInit");
    auto get_version = symbol<int(int*)>(library, "cuDriverGetVersion");
    auto get_count = symbol<int(int*)>(library, "cuDeviceGetCount");
    auto get_attribute = symbol<int(int*, int, int)>(library, "cuDeviceGetAttribute");
    if (init == nullptr || get_version == nullptr || get_count == nullptr || get_attribute == nullptr) return;
    int version = 0;
    int count = 0;
    if (init(0) != 0 || get_version(&version) != 0 || get_count(&count) != 0 || count == 0) {
      if (!out_.target.torch) fact("backend", "CPU", "libcuda.so.1 finds no GPU");
      return;
    }
    if (!out_.target.torch) {
      MajorMinor cuda{.major = static_cast<std::uint32_t>(version / 1000),
                      .minor = static_cast<std::uint32_t>(version % 1000 / 10)};
      out_.target.backend = {.kind = BackendKind::cuda, .version = cuda};
      fact("backend", out_.target.backend.display(), "cuDriverGetVersion");
    }
    constexpr int kMajor = 75;
    constexpr int kMinor = 76;
    for (int device = 0; device < count; ++device) {
      int major = 0;
      int minor = 0;
      if (get_attribute(&major, kMajor, device) != 0 || get_attribute(&minor, kMinor, device) != 0) continue;
      MajorMinor capability{.major = static_cast<std::uint32_t>(major),
                            .minor = static_cast<std::uint32_t>(minor)};
      auto& known = out_.target.capabilities;
      if (std::ranges::find(known, capability) == known.end()) known.push_back(capability);
      fact("capability of GPU " + std::to_string(device), capability.str(), "cuDeviceGetAttribute");
    }
    driver_version();
  }

  void driver_version() {
    auto text = read_file("/proc/driver/nvidia/version", 4096).value_or("");
    auto begin = text.find("  ");
    auto digits = begin == std::string::npos ? begin : text.find_first_of("0123456789", begin);
    if (digits == std::string::npos) return;
    auto version = text.substr(digits, text.find_first_not_of("0123456789.", digits) - digits);
    out_.target.driver = version;
    fact("driver", version, "/proc/driver/nvidia/version");
  }

  template <class Signature>
  static Signature* symbol(void* library, const char* name) {
    return reinterpret_cast<Signature*>(::dlsym(library, name));
  }

  const Lookup& environment_;
  std::vector<fs::path> sites_;
  Detected out_;
};

}  // namespace

std::optional<std::string> python_constant(std::string_view source, std::string_view name) {
  for (std::size_t begin = 0; begin < source.size();) {
    auto end = std::min(source.find('\n', begin), source.size());
    auto line = source.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with(name)) continue;
    auto rest = line.substr(name.size());
    if (rest.empty() || (rest[0] != ' ' && rest[0] != '=' && rest[0] != ':')) continue;
    auto equals = rest.find('=');
    if (equals == std::string_view::npos) continue;
    auto open = rest.find_first_of("'\"", equals);
    if (open == std::string_view::npos) continue;
    auto close = rest.find(rest[open], open + 1);
    if (close != std::string_view::npos) return std::string(rest.substr(open + 1, close - open - 1));
  }
  return std::nullopt;
}

Detected detect(const Lookup& environment) {
  return Detector(environment).run();
}

}  // namespace kernels::machine

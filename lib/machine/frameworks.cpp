#include <algorithm>

#include "loader.h"
#include "python.h"

namespace kernels::machine {

namespace fs = std::filesystem;

namespace {

/// The tvm-ffi version whose functions our own provider library has.
constexpr MajorMinor kBundledTvmFfi{.major = 0, .minor = 1};

/// XPU builds name a date-like number: 20250300 is 2025.3.
Result<MajorMinor> parse_xpu(const std::string& text) {
  bool is_number = text.size() >= 6 && text.find_first_not_of("0123456789") == std::string::npos;
  return MajorMinor::parse(is_number ? text.substr(0, 4) + "." + text[5] : text);
}

void find_torch_backend(Findings& findings, const std::string& text, const std::string& source) {
  auto& target = findings.out.target;
  for (auto [name, kind] : {std::pair{"cuda", BackendKind::cuda}, std::pair{"hip", BackendKind::rocm},
                            std::pair{"xpu", BackendKind::xpu}}) {
    auto value = python_constant(text, name).value_or("");
    value = value.substr(0, value.find('-'));
    auto version = kind == BackendKind::xpu ? parse_xpu(value) : MajorMinor::parse(value);
    if (!version) continue;
    target.backend = {.kind = kind, .version = *version};
    if (kind == BackendKind::cuda) findings.out.torch_cuda = *version;
    return findings.fact(Topic::python, "backend", target.backend.display(), source, Certainty::read);
  }
  if (target.os == "darwin" && target.cpu == "aarch64") {
    target.backend = {.kind = BackendKind::metal, .version = std::nullopt};
    return findings.fact(Topic::python, "backend", target.backend.display(), "torch on Apple silicon",
                         Certainty::inferred);
  }
  findings.fact(Topic::python, "backend", "CPU", source, Certainty::read);
}

void find_cxx11_abi(Findings& findings, const fs::path& site) {
  auto& target = findings.out.target;
  if (target.os != "linux") return;
  auto file = site / "torch/share/cmake/Torch/TorchConfig.cmake";
  if (auto flag = cxx11_abi_flag(findings.sysroot.read(file).value_or(""))) {
    target.cxx11_abi = flag;
    return findings.fact(Topic::python, "cxx11-abi", *flag ? "true" : "false", file.string(),
                         Certainty::read);
  }
  target.cxx11_abi = true;
  bool always = *target.torch >= MajorMinor{.major = 2, .minor = 7};
  findings.fact(Topic::python, "cxx11-abi", "true",
                always ? "torch 2.7 and later have no other" : "nothing says otherwise",
                always ? Certainty::inferred : Certainty::assumed);
}

void find_torch(Findings& findings, const std::vector<fs::path>& sites) {
  for (const auto& site : sites) {
    auto file = site / "torch" / "version.py";
    auto text = findings.sysroot.read(file);
    if (!text) continue;
    auto name = python_constant(*text, "__version__").value_or("");
    auto version = MajorMinor::parse(name);
    if (!version) continue;
    findings.out.target.torch = *version;
    findings.fact(Topic::python, "torch", shown(name), file.string(), Certainty::read);
    find_torch_backend(findings, *text, file.string());
    return find_cxx11_abi(findings, site);
  }
  findings.fact(Topic::python, "torch", "none", "none found", Certainty::read);
}

/// The version in the name of a package's `<name>-<version>.dist-info`, and the folder.
struct Package {
  std::string version;
  fs::path folder;
};
std::optional<Package> find_package(const Findings& findings, const fs::path& site, std::string_view prefix) {
  constexpr std::string_view kSuffix = ".dist-info";
  for (const auto& name : findings.sysroot.list(site)) {
    if (!name.starts_with(prefix) || !name.ends_with(kSuffix)) continue;
    auto version = name.substr(prefix.size(), name.size() - prefix.size() - kSuffix.size());
    if (MajorMinor::parse(version)) return Package{.version = version, .folder = site / name};
  }
  return std::nullopt;
}

void find_tvm_ffi(Findings& findings, const std::vector<fs::path>& sites) {
  auto& target = findings.out.target;
  for (const auto& site : sites) {
    auto package = find_package(findings, site, "apache_tvm_ffi-");
    if (!package) continue;
    target.tvm_ffi = *MajorMinor::parse(package->version);
    return findings.fact(Topic::python, "tvm-ffi", shown(package->version), package->folder.string(),
                         Certainty::read);
  }
  target.tvm_ffi = kBundledTvmFfi;
  findings.fact(Topic::python, "tvm-ffi", kBundledTvmFfi.str(), "the provider of this program",
                Certainty::assumed);
}

void report_runtime(Findings& findings, const std::string& version, const fs::path& source,
                    Certainty certainty) {
  findings.fact(Topic::gpu, "CUDA runtime", shown(version), source.string(), certainty);
}

/// `libcudart.so.12` is a link to `libcudart.so.12.8.90`; without the link the name tells the major version.
/// `seen` are the files that were reported: folders are links to each other.
void find_runtime_library(Findings& findings, const fs::path& folder, std::vector<fs::path>& seen) {
  constexpr std::string_view kName = "libcudart.so.";
  for (const auto& name : findings.sysroot.list(folder)) {
    if (!name.starts_with(kName)) continue;
    auto real = findings.sysroot.real(folder / name);
    if (!real || std::ranges::find(seen, *real) != seen.end() || !findings.sysroot.is_file(*real)) continue;
    seen.push_back(*real);
    auto longest = real->filename().string();
    auto version = (longest.starts_with(kName) ? longest : name).substr(kName.size());
    if (MajorMinor::parse(version)) report_runtime(findings, version, *real, Certainty::inferred);
  }
}

void find_cuda_runtimes(Findings& findings, const std::vector<fs::path>& sites) {
  for (const auto& site : sites) {
    if (!findings.sysroot.is_folder(site / "nvidia")) continue;
    for (const char* prefix : {"nvidia_cuda_runtime-", "nvidia_cuda_runtime_cu13-",
                               "nvidia_cuda_runtime_cu12-", "nvidia_cuda_runtime_cu11-"})
      if (auto package = find_package(findings, site, prefix))
        report_runtime(findings, package->version, package->folder, Certainty::read);
  }
  fs::path json = "/usr/local/cuda/version.json";
  auto versions = parse_cuda_version_json(findings.sysroot.read(json).value_or(""));
  if (versions.runtime) report_runtime(findings, *versions.runtime, json, Certainty::read);
  if (versions.toolkit)
    findings.fact(Topic::gpu, "CUDA toolkit", shown(*versions.toolkit), json.string(), Certainty::read);
  std::vector<fs::path> seen;
  if (!findings.conda_prefix.empty()) find_runtime_library(findings, findings.conda_prefix / "lib", seen);
  for (const auto& folder : loader_folders(findings.sysroot))
    find_runtime_library(findings, folder, seen);
}

}  // namespace

void find_frameworks(Findings& findings, const std::vector<fs::path>& sites) {
  find_torch(findings, sites);
  find_tvm_ffi(findings, sites);
  if (findings.wants_everything()) find_cuda_runtimes(findings, sites);
}

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

}  // namespace kernels::machine

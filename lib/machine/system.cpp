#include <array>
#include <charconv>
#include <cstdint>

#include <gnu/libc-version.h>
#include <sys/utsname.h>

#include "findings.h"
#include "libraries.h"
#include "loader.h"
#include "texts.h"

namespace kernels::machine {

namespace fs = std::filesystem;

namespace {

constexpr const char* kMacVersion = "/System/Library/CoreServices/SystemVersion.plist";

struct Kernel {
  std::string os;
  std::string source;
  Certainty certainty = Certainty::read;
};

/// Which kernel the files are for. The plist and the folder are of the systems of which nothing else is
/// known.
Kernel kernel_of(const Findings& findings) {
  if (findings.is_here()) return {.os = "linux", .source = "uname", .certainty = Certainty::asked};
  for (const char* file : {"/etc/os-release", "/usr/lib/os-release"})
    if (findings.sysroot.is_file(file)) return {.os = "linux", .source = file};
  if (findings.sysroot.is_file(kMacVersion)) return {.os = "darwin", .source = kMacVersion};
  if (findings.sysroot.is_folder("/Windows/System32"))
    return {.os = "windows", .source = "/Windows/System32"};
  return {.os = "linux", .source = "nothing says otherwise", .certainty = Certainty::assumed};
}

void find_distribution(Findings& findings) {
  for (const char* file : {"/etc/os-release", "/usr/lib/os-release"}) {
    auto text = findings.sysroot.read(file);
    if (!text) continue;
    auto values = parse_os_release(*text);
    auto name = values.contains("PRETTY_NAME") ? values["PRETTY_NAME"] : values["NAME"];
    if (name.empty()) continue;
    return findings.fact(Topic::system, "distribution", shown(name), file, Certainty::read);
  }
}

void find_macos(Findings& findings) {
  auto text = findings.sysroot.read(kMacVersion).value_or("");
  auto product = plist_string(text, "ProductVersion").value_or("");
  auto version = MajorMinor::parse(product);
  if (!version) return;
  findings.out.target.macos = *version;
  findings.fact(Topic::system, "macOS", shown(product), kMacVersion, Certainty::read);
}

struct Processor {
  std::string name;
  std::string source;
  Certainty certainty = Certainty::read;
};

/// A Mac's own programs are built for both processors, so they say nothing.
Processor mac_processor(const Findings& findings) {
  if (findings.sysroot.is_folder("/opt/homebrew"))
    return {.name = "aarch64", .source = "/opt/homebrew", .certainty = Certainty::inferred};
  if (findings.sysroot.is_folder("/usr/local/Homebrew"))
    return {.name = "x86_64", .source = "/usr/local/Homebrew", .certainty = Certainty::inferred};
  return {.name = "aarch64", .source = "nothing says otherwise", .certainty = Certainty::assumed};
}

Processor linux_processor(const Findings& findings) {
  std::vector<fs::path> programs = {"/bin/sh", "/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"};
  if (auto libc = find_library(findings.sysroot, "libc.so.6")) programs.push_back(*libc);
  for (const auto& program : programs)
    if (auto name = processor_of(findings.sysroot, program))
      return {.name = *name, .source = program.string()};
  for (const auto& [folder, name] : {std::pair{"/lib/aarch64-linux-gnu", "aarch64"},
                                     {"/usr/lib/aarch64-linux-gnu", "aarch64"},
                                     {"/lib/x86_64-linux-gnu", "x86_64"},
                                     {"/usr/lib/x86_64-linux-gnu", "x86_64"}})
    if (findings.sysroot.is_folder(folder))
      return {.name = name, .source = folder, .certainty = Certainty::inferred};
  return {.name = "x86_64", .source = "nothing says otherwise", .certainty = Certainty::assumed};
}

Processor processor(const Findings& findings) {
  if (findings.is_here()) {
    struct utsname info{};
    ::uname(&info);
    return {.name = info.machine, .source = "uname", .certainty = Certainty::asked};
  }
  if (findings.out.target.os == "darwin") return mac_processor(findings);
  if (findings.out.target.os == "linux") return linux_processor(findings);
  return {.name = "x86_64", .source = "nothing says otherwise", .certainty = Certainty::assumed};
}

void find_model(Findings& findings) {
  constexpr const char* kFile = "/proc/cpuinfo";
  auto values = parse_colon_lines(findings.sysroot.read(kFile, 16 << 10).value_or(""));
  auto model = values.contains("model name") ? values["model name"] : values["Model"];
  if (!model.empty()) findings.fact(Topic::system, "processor", shown(model), kFile, Certainty::read);
}

/// `24684100 kB` as `23.5 GiB`; anything else as it stands.
std::string memory_text(const std::string& value) {
  std::uint64_t kib = 0;
  auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), kib);
  constexpr std::uint64_t kMost = std::uint64_t{1} << 50U;
  if (code != std::errc() || std::string_view(end) != " kB" || kib > kMost) return shown(value);
  auto tenths = (kib * 10 + (1 << 19)) >> 20U;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GiB";
}

void find_memory(Findings& findings) {
  constexpr const char* kFile = "/proc/meminfo";
  auto values = parse_colon_lines(findings.sysroot.read(kFile, 4096).value_or(""));
  if (values.contains("MemTotal"))
    findings.fact(Topic::system, "memory", memory_text(values["MemTotal"]), kFile, Certainty::read);
}

void find_libc(Findings& findings) {
  auto& target = findings.out.target;
  std::string version;
  if (findings.is_here()) {
    version = ::gnu_get_libc_version();
    findings.fact(Topic::system, "glibc", version, "gnu_get_libc_version", Certainty::asked);
  } else if (auto file = find_library(findings.sysroot, "libc.so.6")) {
    version = newest_version(defined_versions(findings.sysroot, *file), "GLIBC_").value_or("");
    if (!version.empty()) findings.fact(Topic::system, "glibc", version, file->string(), Certainty::read);
  }
  if (auto parsed = MajorMinor::parse(version)) {
    target.glibc = *parsed;
    return;
  }
  for (const char* musl : {"/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"})
    if (findings.sysroot.is_file(musl)) {
      findings.out.is_musl = true;
      return findings.fact(Topic::system, "C library", "musl", musl, Certainty::read);
    }
}

}  // namespace

void find_system(Findings& findings) {
  auto& target = findings.out.target;
  target.name = findings.is_here() ? "this machine" : "the machine of the folder";
  auto kernel = kernel_of(findings);
  target.os = kernel.os;
  findings.fact(Topic::system, "os", kernel.os, kernel.source, kernel.certainty);
  auto cpu = processor(findings);
  target.cpu = cpu.name;
  findings.fact(Topic::system, "cpu", cpu.name, cpu.source, cpu.certainty);
  if (target.os == "darwin") find_macos(findings);
  if (target.os == "linux") find_libc(findings);
  if (!findings.wants_everything()) return;
  find_distribution(findings);
  find_model(findings);
  find_memory(findings);
}

void find_cxx_runtime(Findings& findings) {
  auto& target = findings.out.target;
  if (target.os != "linux") return;
  std::optional<fs::path> file;
  if (auto own = findings.conda_prefix / "lib/libstdc++.so.6";
      !findings.conda_prefix.empty() && findings.sysroot.is_file(own))
    file = own;
  if (!file) file = find_library(findings.sysroot, "libstdc++.so.6");
  if (!file) return;
  auto versions = defined_versions(findings.sysroot, *file);
  target.glibcxx = newest_version(versions, "GLIBCXX_");
  target.cxxabi = newest_version(versions, "CXXABI_");
  if (target.glibcxx)
    findings.fact(Topic::system, "glibcxx", *target.glibcxx, file->string(), Certainty::read);
  if (target.cxxabi) findings.fact(Topic::system, "cxxabi", *target.cxxabi, file->string(), Certainty::read);
}

}  // namespace kernels::machine

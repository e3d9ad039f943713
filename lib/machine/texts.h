#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/model/version.h"

namespace kernels::machine {

// The small files that describe a machine, as pure functions over their text. All take any bytes; what is not
// there or does not make sense is absent.

/// A number in decimal, or after `0x` in hexadecimal, that fills the text but for blanks around it.
std::optional<std::uint64_t> parse_number(std::string_view text);

/// The first run of the form `digits.digits[.digits…]` that stands alone between blanks.
std::optional<std::string> find_dotted(std::string_view text);

/// `KEY=value` and `KEY="value"` lines of os-release.
std::map<std::string, std::string> parse_os_release(std::string_view text);
/// `key = value` lines of pyvenv.cfg; keys in lower case.
std::map<std::string, std::string> parse_pyvenv_cfg(std::string_view text);
/// `Name:   value` lines, as of /proc/driver/nvidia/gpus/*/information and /proc/cpuinfo; of repeated names
/// the first counts.
std::map<std::string, std::string> parse_colon_lines(std::string_view text);
/// `name number` lines, as of /sys/class/kfd/…/properties. Lines without a number are left out.
std::map<std::string, std::uint64_t> parse_kfd_properties(std::string_view text);

/// The pieces between zero bytes, as of /proc/device-tree/compatible.
std::vector<std::string> parse_string_list(std::string_view bytes);

/// The driver's version in /proc/driver/nvidia/version: `580.65.06`.
std::optional<std::string> parse_driver_version(std::string_view text);

/// `# R36 (release), REVISION: 4.3, …` of /etc/nv_tegra_release as `36.4.3`.
std::optional<std::string> parse_tegra_release(std::string_view text);

/// The text of `<string>` after `<key>name</key>` in a property list.
std::optional<std::string> plist_string(std::string_view text, std::string_view name);

/// The version of the toolkit or of its runtime library in /usr/local/cuda/version.json.
struct CudaVersions {
  std::optional<std::string> toolkit;
  std::optional<std::string> runtime;
};
CudaVersions parse_cuda_version_json(std::string_view text);

/// What `-D_GLIBCXX_USE_CXX11_ABI=` says in torch's CMake files.
std::optional<bool> cxx11_abi_flag(std::string_view text);

/// `gfx942` for 90402: two decimal digits each for the last two parts, which are written in hexadecimal.
std::optional<std::string> gfx_name(std::uint64_t gfx_target_version);
/// The capability that frameworks report for it: 9.4.
std::optional<MajorMinor> gfx_capability(std::uint64_t gfx_target_version);

/// The newest of the names of one family, `GLIBCXX_3.4.9` < `GLIBCXX_3.4.30`, without the prefix. Names whose
/// rest is no dotted number do not count.
std::optional<std::string> newest_version(const std::vector<std::string>& names, std::string_view prefix);

/// Major and minor of `python3.13t`, and whether it is one without the GIL. Nothing for other names.
struct PythonName {
  MajorMinor version;
  bool free_threaded = false;
  bool operator==(const PythonName&) const = default;
};
std::optional<PythonName> parse_python_name(std::string_view name);

/// Text that may be shown: control characters and bytes that are not UTF-8 become `?`, at most 200 bytes.
std::string shown(std::string_view text);

}  // namespace kernels::machine

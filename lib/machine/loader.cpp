#include "loader.h"

#include <algorithm>
#include <string>

namespace kernels::machine {

namespace fs = std::filesystem;

static constexpr std::size_t kMaxFolders = 64;

static void add_lines(const std::string& text, std::vector<fs::path>& folders) {
  for (std::size_t begin = 0; begin < text.size();) {
    auto end = std::min(text.find('\n', begin), text.size());
    auto line = text.substr(begin, end - begin);
    begin = end + 1;
    line.erase(std::min(line.find_first_of("# \t\r"), line.size()));
    if (line.starts_with('/') && folders.size() < kMaxFolders) folders.emplace_back(line);
  }
}

std::vector<fs::path> loader_folders(const Sysroot& sysroot) {
  std::vector<fs::path> folders;
  fs::path conf = "/etc/ld.so.conf.d";
  for (const auto& name : sysroot.list(conf)) {
    if (folders.size() >= kMaxFolders) break;
    if (name.ends_with(".conf")) add_lines(sysroot.read(conf / name).value_or(""), folders);
  }
  for (const char* triple : {"x86_64-linux-gnu", "aarch64-linux-gnu"}) {
    folders.push_back(fs::path("/lib") / triple);
    folders.push_back(fs::path("/usr/lib") / triple);
  }
  for (const char* folder : {"/lib64", "/usr/lib64", "/lib", "/usr/lib"})
    folders.emplace_back(folder);
  return folders;
}

std::optional<fs::path> find_library(const Sysroot& sysroot, std::string_view name) {
  for (const auto& folder : loader_folders(sysroot))
    if (sysroot.is_file(folder / name)) return folder / name;
  return std::nullopt;
}

}  // namespace kernels::machine

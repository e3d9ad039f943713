#include "torch_files.h"

#include <algorithm>

#include "kernels/base/file.h"

namespace kernels::app {

namespace fs = std::filesystem;

namespace {

constexpr const char* kLibrary = "libtorch_cpu.so";

/// `2.11.0+cu130`, or nothing.
std::string stated_version(const fs::path& package) {
  constexpr std::uint64_t kMost = 64 << 10;
  if (auto text = read_file(package / "version.py", kMost))
    return machine::python_constant(*text, "__version__").value_or("");
  auto text = read_file(package / "build-version", kMost);
  return text ? text->substr(0, text->find_first_of(" \r\n")) : "";
}

}  // namespace

fs::path torch_folder(const machine::Detected& machine) {
  for (const auto& fact : machine.facts) {
    if (fact.name != "torch" || !fact.source.ends_with("/torch/version.py")) continue;
    auto folder = fs::path(fact.source).parent_path() / "lib";
    std::error_code code;
    if (fs::exists(folder / kLibrary, code)) return folder;
  }
  return {};
}

Status set_torch(Target& target, const fs::path& folder) {
  std::error_code code;
  if (!fs::exists(folder / kLibrary, code))
    return fail(Error(Errc::invalid_argument,
                      "there is no `" + std::string(kLibrary) + "` in `" + folder.string() + "`")
                    .with_hint("name the folder `torch/lib` of a PyTorch, or `lib` of a libtorch"));
  auto package = fs::absolute(folder, code).lexically_normal();
  if (!package.has_filename()) package = package.parent_path();
  auto version = MajorMinor::parse(stated_version(package.parent_path()));
  if (!version)
    return fail(Error(Errc::invalid_argument, "beside `" + folder.string() +
                                                  "` neither `version.py` nor `build-version` says which "
                                                  "version of libtorch it is"));
  target.torch = *version;
  target.cxx11_abi = true;
  return {};
}

}  // namespace kernels::app

#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace kernels::test {

namespace fs = std::filesystem;

/// One built variant of our own kernels.
struct BuiltVariant {
  std::string kernel;
  fs::path folder;
  fs::path library;
  bool cuda;
};

/// KERNELS_TEST_HUB, or the folder of this build.
inline fs::path hub_folder() {
  const char* set = std::getenv("KERNELS_TEST_HUB");
  return set != nullptr ? fs::path(set) : fs::path(KERNELS_TEST_HUB_FOLDER);
}
/// KERNELS_TEST_PROVIDER, or that of this build.
inline fs::path provider_path() {
  const char* set = std::getenv("KERNELS_TEST_PROVIDER");
  return set != nullptr ? fs::path(set) : fs::path(KERNELS_TEST_PROVIDER_PATH);
}

inline std::vector<BuiltVariant> built_variants() {
  std::vector<BuiltVariant> variants;
  for (const auto& kernel : fs::directory_iterator(hub_folder())) {
    for (const auto& variant : fs::directory_iterator(kernel.path() / "build")) {
      BuiltVariant built{kernel.path().filename().string(),
                         variant.path(),
                         {},
                         variant.path().filename().string().find("-cu") != std::string::npos};
      for (const auto& file : fs::directory_iterator(variant.path()))
        if (file.path().extension() == ".so") built.library = file.path();
      variants.push_back(std::move(built));
    }
  }
  std::ranges::sort(variants, {}, &BuiltVariant::folder);
  return variants;
}

}  // namespace kernels::test

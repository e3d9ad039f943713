#pragma once

#include "kernels/base/hash.h"

#include "support/catch.h"
#include "support/world.h"

namespace kernels::test {

inline const std::string kVariant = "tvm-ffi01-cpu-x86_64-linux";
inline const char* const kOne = "[dependencies]\n\"acme/relu\" = 1\n";

/// A project with one locked kernel, about to download it.
struct Victim : World {
  explicit Victim(hub::ServeOptions options = {}, std::size_t size = 5000, const std::string& token = {})
      : World(std::move(options)), size_(size) {
    commit = publish_simple("relu", 1, std::string(size, 'x'));
    project(kOne);
    auto locked = kernels({"lock"}, {.environment = {{"HF_TOKEN", token}}});
    INFO(locked.err);
    REQUIRE(locked.status == 0);
    hub->forget_seen();
  }
  Outcome download(std::map<std::string, std::string> environment = {}) {
    environment.try_emplace("KERNELS_HTTP_RETRIES", "0");
    return kernels({"download"}, {.environment = std::move(environment)});
  }
  std::filesystem::path repository() const { return cache() / "kernels--acme--relu"; }
  std::filesystem::path snapshot() const { return repository() / "snapshots" / commit; }
  std::filesystem::path variant() const { return snapshot() / "build" / kVariant; }
  /// Where the snapshot's entry leads to.
  std::filesystem::path blob_of(const std::string& file) const {
    return repository() / "blobs" / std::filesystem::read_symlink(variant() / file).filename();
  }
  /// Bytes of the library that the CPU variant has.
  std::size_t cpu_size() const { return cpu_library("relu" + std::string(size_, 'x')).size(); }
  std::string commit;

 private:
  std::size_t size_;
};

inline std::string content_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Every blob has the bytes of its name, and every link leads to one.
inline void check_cache_is_valid(const World& world) {
  std::error_code code;
  for (std::filesystem::recursive_directory_iterator it(world.cache(), code), end; !code && it != end; ++it) {
    auto name = it->path().filename().string();
    if (it->is_symlink()) {
      INFO(it->path());
      CHECK(std::filesystem::is_regular_file(it->path()));
    } else if (it->is_regular_file() && it->path().parent_path().filename() == "blobs" &&
               !name.ends_with(".incomplete")) {
      auto content = content_of(it->path());
      auto hasher = name.size() == 64 ? Hasher(HashAlgorithm::sha256) : Hasher::git_blob(content.size());
      hasher.update(content);
      CHECK(hasher.finish_hex() == name);
    }
  }
}

enum class Partial { allowed, refused };

/// Nothing that can be found by its name, and nothing half-done that a later run would go on with.
inline void check_nothing_was_kept(const World& world, Partial partial = Partial::refused) {
  check_cache_is_valid(world);
  for (const auto& file : World::files_below(world.cache())) {
    CAPTURE(file);
    CHECK_FALSE(has(file, "snapshots/"));
    CHECK_FALSE(has(file, "refs/"));
    // Large files have names of 64 digits; the innocent small ones may still have been under way.
    bool is_half_a_library = file.ends_with(".incomplete") && file.find('.') - file.rfind('/') == 65;
    if (partial == Partial::refused) CHECK_FALSE(is_half_a_library);
  }
}

}  // namespace kernels::test

#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernels/base/hash.h"
#include "kernels/bundle/index.h"
#include "kernels/bundle/write.h"
#include "kernels/model/git_objects.h"
#include "kernels/model/lock.h"

#include "support/tar_writer.h"
#include "support/temp_folder.h"

namespace kernels::test {

/// A small kernel of two variants with a lock, as a bundle in parts, which a test may change before they are
/// put together.
struct Sample {
  std::map<std::string, std::string> files;     ///< path → content
  std::map<std::string, std::string> contents;  ///< SHA-256 → content
  Lock lock;
  std::string lock_text;
  std::string sum_text;
  std::string root = "{\"root\": true}\n";
  bundle::Index index;

  Sample() {
    for (std::string name : {"build/torch-cpu/", "build/torch-cuda/"}) {
      files[name + "__init__.py"] = "from . import _ops\n";  // the same in both
      files[name + "_relu.so"] = "library of " + name + std::string(5000, 'x');
      files[name + "metadata.json"] = "{\"name\": \"" + name + "\"}\n";
    }
    make_lock();
    make_index();
  }

  static FileEntry entry_of(const std::string& path, const std::string& content) {
    auto parsed = *RepoPath::parse(path);
    auto hasher = path.ends_with(".so") ? Hasher(HashAlgorithm::sha256) : Hasher::git_blob(content.size());
    hasher.update(content);
    return {.path = parsed, .size = content.size(), .blob = *BlobId::parse(hasher.finish_hex())};
  }

  void make_lock() {
    LockedKernel kernel{.repo = *RepoId::parse("acme/relu"),
                        .requirement = Requirement::of_version(1),
                        .commit = *Commit::parse(std::string(40, 'a')),
                        .ref = "v1",
                        .asked_for = std::nullopt,
                        .hub_name = {},
                        .direct = true,
                        .variants = {}};
    for (std::string name : {"torch-cpu", "torch-cuda"}) {
      LockedVariant variant{.name = name, .files = {}, .metadata = std::nullopt};
      for (const auto& [path, content] : files)
        if (path.starts_with("build/" + name + "/")) variant.files.push_back(entry_of(path, content));
      kernel.variants.push_back(std::move(variant));
    }
    lock.kernels = {std::move(kernel)};
    lock_text = render_lock(lock, LockForm::v2);
    sum_text = render_sum(lock, lock_text);
  }

  /// The index that belongs to `files`, `lock_text`, `sum_text` and `root`.
  void make_index() {
    index = {};
    contents.clear();
    bundle::Kernel kernel{.repo = lock.kernels[0].repo,
                          .commit = lock.kernels[0].commit,
                          .ref = lock.kernels[0].ref,
                          .files = {}};
    for (const auto& [path, content] : files) {
      kernel.files.push_back({.entry = entry_of(path, content), .sha256 = sha256_hex(content)});
      contents[sha256_hex(content)] = content;
    }
    index.kernels = {kernel};
    make_entries();
  }

  void make_entries() {
    auto text = [](std::string_view name, const std::string& content) {
      return bundle::Entry{.path = std::string(name), .size = content.size(), .sha256 = sha256_hex(content)};
    };
    index.entries = {text(bundle::kLockName, lock_text), text(bundle::kSumName, sum_text),
                     text(bundle::kRootName, root)};
    for (const auto& [sha256, content] : contents)
      index.entries.push_back({.path = "blobs/" + sha256, .size = content.size(), .sha256 = sha256});
  }

  /// The entries of the archive, with honest headers.
  std::vector<TarEntry> entries() const {
    std::vector<TarEntry> out = {{.name = "index.json", .content = bundle::render_index(index)},
                                 {.name = "kernels.lock", .content = lock_text},
                                 {.name = "kernels.sum", .content = sum_text},
                                 {.name = "trusted_root.json", .content = root}};
    for (const auto& entry : index.entries)
      if (entry.path.starts_with("blobs/"))
        out.push_back({.name = entry.path, .content = contents.at(entry.sha256)});
    return out;
  }
  std::string archive() const { return write_tar(entries()); }

  /// What the writer needs to make a bundle of the same files.
  bundle::PackRequest request(const std::filesystem::path& folder,
                              const std::filesystem::path& output) const {
    bundle::SourceKernel kernel{.repo = lock.kernels[0].repo,
                                .commit = lock.kernels[0].commit,
                                .ref = lock.kernels[0].ref,
                                .files = {}};
    for (const auto& [path, content] : files) {
      auto entry = entry_of(path, content);
      put(folder / entry.blob.str(), content);
      kernel.files.push_back({.entry = entry, .content = folder / entry.blob.str()});
    }
    return {.output = output,
            .lock_text = lock_text,
            .sum_text = sum_text,
            .trusted_root = root,
            .kernels = {kernel},
            .durable = Durable::no};
  }
};

}  // namespace kernels::test

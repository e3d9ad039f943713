#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernels/hub/server.h"

#include "support/faulty_hub.h"
#include "support/program.h"
#include "support/temp_folder.h"

namespace kernels::test {

/// Whether what a program says has these words.
inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A library for the CPU that a loader would take, and one with GPU code for what `publish` declares of CUDA
/// builds; `content` makes it different from others.
std::string cpu_library(const std::string& content);
std::string cuda_library(const std::string& content);

/// A published kernel: variant → file → content. `metadata.json` is made unless it is given.
struct Publication {
  std::string repo;
  std::uint64_t version = 1;
  std::map<std::string, std::map<std::string, std::string>> variants;
  std::map<std::string, std::string> root_files = {};
  std::optional<std::string> revision = {};
  std::string kernel_depends = "[]";
};

/// Publisher, Hub, liar and project in one folder: what a test of the program needs around it.
class World {
 public:
  explicit World(hub::ServeOptions options = {});

  /// Publishes a kernel; returns its commit.
  std::string publish(const Publication& publication);
  /// One kernel `acme/<name>` with a CPU and a CUDA variant of small files.
  std::string publish_simple(const std::string& name, std::uint64_t version = 1,
                             const std::string& body = "body");
  void project(const std::string& toml);
  /// Runs `kernels ARGUMENTS…` in the project's folder against the Hub behind the liar.
  Outcome kernels(std::vector<std::string> arguments, RunOptions options = {});

  std::filesystem::path cache() const { return temp / "cache"; }
  std::filesystem::path folder() const { return temp / "project"; }
  std::string read(const std::string& file) const;
  /// Paths of regular files and links below a folder, sorted, as text.
  static std::vector<std::string> files_below(const std::filesystem::path& folder);

  TempFolder temp;
  std::unique_ptr<hub::HubServer> server;
  std::unique_ptr<FaultyHub> hub;
};

}  // namespace kernels::test

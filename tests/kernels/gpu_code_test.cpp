#include "kernels/inspect/gpu_code.h"

#include <algorithm>
#include <string_view>

#include "kernels/base/byte_source.h"
#include "kernels/base/elf.h"

#include "support/catch.h"
#include "support/hub_tree.h"

// What the PTX of our CUDA variants must not have. It is read from the libraries as they are published.

using namespace kernels;

namespace {

struct Accesses {
  std::size_t wide = 0;     ///< loads and stores of vectors in global memory
  std::size_t unknown = 0;  ///< those of vectors somewhere: slower, as the device has to find out where
  std::size_t local = 0;    ///< declarations of local memory
};

/// A line without indentation and predicate: `@%p1 ld.global…` is `ld.global…`.
std::string_view instruction_of(std::string_view line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  if (line.starts_with('@')) line.remove_prefix(std::min(line.find(' ') + 1, line.size()));
  return line;
}

Accesses accesses_in(std::string_view ptx) {
  Accesses found;
  while (!ptx.empty()) {
    const auto end = std::min(ptx.find('\n'), ptx.size());
    const auto line = instruction_of(ptx.substr(0, end));
    ptx.remove_prefix(std::min(end + 1, ptx.size()));
    if (line.starts_with("ld.global.v") || line.starts_with("st.global.v")) ++found.wide;
    if (line.starts_with("ld.v") || line.starts_with("st.v")) ++found.unknown;
    if (line.starts_with(".local ")) ++found.local;
  }
  return found;
}

}  // namespace

TEST_CASE("kernels: vectors are read and written in memory that is known to be global", "[kernels]") {
  for (const auto& variant : test::built_variants()) {
    if (!variant.cuda) continue;
    INFO(variant.library);
    auto source = open_file_source(variant.library);
    REQUIRE(source);
    auto file = read_elf(**source);
    REQUIRE(file);
    auto code = inspect::read_gpu_code(**source, *file);
    REQUIRE(code);
    std::size_t images = 0;
    for (const auto& container : code->containers)
      for (const auto& image : container.images) {
        if (image.kind != inspect::CodeKind::ptx || image.content == inspect::ImageContent::empty) continue;
        auto content = inspect::unpack(**source, image);
        REQUIRE(content);
        const auto found = accesses_in({reinterpret_cast<const char*>(content->data()), content->size()});
        if (found.wide == 0) continue;  // of the runtime, not of the kernel
        ++images;
        CHECK(found.unknown == 0);
        CHECK(found.local == 0);
      }
    CHECK(images == 1);
  }
}

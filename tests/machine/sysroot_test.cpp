#include "kernels/machine/sysroot.h"

#include <fstream>

#include <sys/stat.h>

#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using kernels::machine::Sysroot;
using kernels::test::put;
using kernels::test::TempFolder;

namespace fs = std::filesystem;

namespace {

/// A machine beside a file that is not its own.
struct SysrootFixture {
  SysrootFixture() {
    put(folder / "secret", "outside");
    put(folder / "root/etc/file", "inside");
    put(folder / "root/secret", "the machine's own");
    sysroot = *Sysroot::at(folder / "root");
  }
  void link(const char* path, const std::string& target) {
    fs::create_directories((folder / "root" / path).parent_path());
    fs::create_symlink(target, folder / "root" / path);
  }
  TempFolder folder;
  Sysroot sysroot;
};

}  // namespace

TEST_CASE("sysroot: links are followed inside the machine, never out of it", "[machine]") {
  SysrootFixture machine;
  machine.link("absolute", "/etc/file");
  machine.link("etc/relative", "../etc/./file");
  machine.link("through/folder", "/etc");
  machine.link("up", "../../../../../secret");
  machine.link("host", (machine.folder / "secret").string());
  CHECK(machine.sysroot.read("/absolute") == "inside");
  CHECK(machine.sysroot.read("/etc/relative") == "inside");
  CHECK(machine.sysroot.read("/through/folder/file") == "inside");
  CHECK(machine.sysroot.real("/through/folder/relative") == fs::path("/etc/file"));
  // Above the root is the root.
  CHECK(machine.sysroot.read("/up") == "the machine's own");
  CHECK(machine.sysroot.read("/../../secret") == "the machine's own");
  // What is absolute here is looked for there.
  CHECK_FALSE(machine.sysroot.read("/host"));
  CHECK_FALSE(machine.sysroot.is_file("/host"));
}

TEST_CASE("sysroot: links in circles are as good as none", "[machine]") {
  SysrootFixture machine;
  machine.link("self", "self");
  machine.link("a", "/b");
  machine.link("b", "a");
  machine.link("deep", "deep/deep/deep");
  for (int i = 0; i < 60; ++i)
    machine.link(("chain" + std::to_string(i)).c_str(), "chain" + std::to_string(i + 1));
  for (const char* path : {"/self", "/a", "/deep", "/chain0", "/self/x"}) {
    CAPTURE(path);
    CHECK_FALSE(machine.sysroot.read(path));
    CHECK_FALSE(machine.sysroot.real(path));
    CHECK(machine.sysroot.list(path).empty());
  }
}

TEST_CASE("sysroot: only regular files are read, and only as far as is asked", "[machine]") {
  SysrootFixture machine;
  auto fifo = machine.folder / "root/fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_FALSE(machine.sysroot.read("/fifo"));
  CHECK_FALSE(machine.sysroot.read("/etc"));
  CHECK_FALSE(machine.sysroot.read("/none"));
  put(machine.folder / "root/long", std::string(100'000, 'x'));
  CHECK(machine.sysroot.read("/long", 70'000)->size() == 70'000);
  fs::resize_file(machine.folder / "root/long", std::uintmax_t{1} << 40U);
  CHECK(machine.sysroot.read("/long")->size() == 64 << 10);
  CHECK(machine.sysroot.read("/etc/file", 3) == "ins");
}

TEST_CASE("sysroot: a folder is listed in order", "[machine]") {
  SysrootFixture machine;
  for (const char* name : {"b", "a", "10", "9"})
    put(machine.folder / "root/nodes" / name, "");
  CHECK(machine.sysroot.list("/nodes") == std::vector<std::string>{"10", "9", "a", "b"});
  CHECK(machine.sysroot.list("/etc/file").empty());
}

TEST_CASE("sysroot: this machine is the folder / and no other", "[machine]") {
  CHECK(Sysroot().is_here());
  CHECK(Sysroot::at("/")->is_here());
  CHECK(Sysroot::at("/usr/..")->is_here());
  SysrootFixture machine;
  CHECK_FALSE(machine.sysroot.is_here());
  CHECK_FALSE(Sysroot::at(machine.folder / "none"));
  CHECK_FALSE(Sysroot::at(machine.folder / "secret"));
  CHECK(Sysroot::at("/none/at/all").error().code() == Errc::invalid_argument);
}

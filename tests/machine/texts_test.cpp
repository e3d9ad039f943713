#include "texts.h"

#include "gpu_tables.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::machine;

TEST_CASE("texts: numbers are whole, in decimal or hexadecimal", "[machine]") {
  CHECK(parse_number("0x10de\n") == 0x10de);
  CHECK(parse_number(" 42 ") == 42);
  for (const char* bad : {"", "0x", "-1", "12a", "1 2", "99999999999999999999999", "0x1ffffffffffffffff"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_number(bad));
  }
}

TEST_CASE("texts: the driver's version in both of its forms", "[machine]") {
  CHECK(parse_driver_version(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.133.07  Fri Mar 14 13:12:07 UTC "
            "2025\nGCC version:  gcc version 14.2.0 (Debian 14.2.0-19) \n") == "570.133.07");
  CHECK(parse_driver_version(
            "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.65.06  Release Build  "
            "(dvs-builder@U22)  Sun Jul 27 07:13:59 UTC 2025\n") == "580.65.06");
  CHECK_FALSE(parse_driver_version("GCC version:  gcc version 14.2.0\n"));
  CHECK_FALSE(parse_driver_version("NVRM version: none\n"));
  CHECK_FALSE(parse_driver_version("NVRM version: 4294967295.1\n"));
  CHECK_FALSE(parse_driver_version(""));
}

TEST_CASE("texts: lines of small files", "[machine]") {
  auto release =
      parse_os_release("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nODD\n=x\nID=second\nQ='a'\n");
  CHECK(release["PRETTY_NAME"] == "Debian GNU/Linux 12");
  CHECK(release["ID"] == "debian");
  CHECK(release["Q"] == "a");
  CHECK(parse_pyvenv_cfg("Home = /usr/bin\r\nversion=3.12.1\n")["home"] == "/usr/bin");
  auto node = parse_kfd_properties(
      "gfx_target_version 90402\nvendor_id 4098\nname\nodd x\nbig 99999999999999999999\n");
  CHECK(node == std::map<std::string, std::uint64_t>{{"gfx_target_version", 90402}, {"vendor_id", 4098}});
  CHECK(parse_string_list(std::string_view("a,b\0c\0\0", 7)) == std::vector<std::string>{"a,b", "c"});
  CHECK(parse_colon_lines("GPU UUID: \t GPU-1:2\nModel:\n")["GPU UUID"] == "GPU-1:2");
}

TEST_CASE("texts: releases of Jetson Linux, property lists, CUDA's own version", "[machine]") {
  CHECK(parse_tegra_release("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n") == "36.4.3");
  CHECK_FALSE(parse_tegra_release("# R36 (release)"));
  CHECK_FALSE(parse_tegra_release("REVISION: 4.3 R36"));
  CHECK(plist_string("<key>A</key><string>1</string><key>B</key>\n<string> 26.1 </string>", "B") == "26.1");
  CHECK_FALSE(plist_string("<key>A</key><key>B</key><string>1</string>", "A"));
  CHECK_FALSE(plist_string("<key>A</key><string>1", "A"));
  auto cuda = parse_cuda_version_json(R"({"cuda":{"version":"12.8.1"},"cuda_cudart":{"version":"12.8.90"}})");
  CHECK(cuda.toolkit == "12.8.1");
  CHECK(cuda.runtime == "12.8.90");
  for (const char* bad :
       {"", "[", "[]", "{\"cuda\":1}", "{\"cuda\":{\"version\":12}}", "{\"cuda\":{\"version\":\"x\"}}"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_cuda_version_json(bad).toolkit);
  }
  CHECK_FALSE(parse_cuda_version_json(std::string(60'000, '[')).toolkit);
}

TEST_CASE("texts: names of AMD's architectures", "[machine]") {
  CHECK(gfx_name(90402) == "gfx942");
  CHECK(gfx_name(90010) == "gfx90a");
  CHECK(gfx_name(110003) == "gfx1103");
  CHECK(gfx_capability(90402) == MajorMinor{9, 4});
  CHECK(gfx_capability(120001) == MajorMinor{12, 0});
  for (std::uint64_t bad : {0ULL, 99ULL, 91700ULL, 90016ULL, 1'000'000ULL, ~0ULL}) {
    CAPTURE(bad);
    CHECK_FALSE(gfx_name(bad));
    CHECK_FALSE(gfx_capability(bad));
  }
}

TEST_CASE("texts: the newest version of a family is that of the largest numbers", "[machine]") {
  std::vector<std::string> names = {"GLIBCXX_3.4.9",          "GLIBCXX_3.4.30", "GLIBCXX_3.4",
                                    "CXXABI_1.3.13",          "GLIBCXX_LDBL",   "GLIBCXX_3.4.x",
                                    "GLIBCXX_3.4.99999999999"};
  CHECK(newest_version(names, "GLIBCXX_") == "3.4.30");
  CHECK(newest_version(names, "CXXABI_") == "1.3.13");
  CHECK_FALSE(newest_version(names, "GLIBC_"));
}

TEST_CASE("texts: names of Pythons", "[machine]") {
  CHECK(parse_python_name("python3.13t") == PythonName{{3, 13}, true});
  CHECK(parse_python_name("python3.9") == PythonName{{3, 9}, false});
  for (const char* bad :
       {"python3", "python", "pypy3.10", "python3.12-config", "python3.12.1", "python3.12tt"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_python_name(bad));
  }
}

TEST_CASE("texts: what is shown is one short line of UTF-8", "[machine]") {
  CHECK(shown(" NVIDIA H100\n") == "NVIDIA H100");
  CHECK(shown("a\x1b[31mb") == "a?[31mb");
  CHECK(shown("a\xff") == "a?");
  CHECK(shown("\xc3\xa4") == "\xc3\xa4");
  CHECK(shown(std::string(10'000, 'x')).size() == 200);
}

TEST_CASE("gpu tables: capabilities of devices and models", "[machine]") {
  struct Row {
    std::uint64_t device;
    const char* model;
    MajorMinor capability;
  };
  const std::vector<Row> rows = {{0x2330, "NVIDIA H100 80GB HBM3", {9, 0}},
                                 {0x2335, "NVIDIA H200", {9, 0}},
                                 {0x2342, "NVIDIA GH200 480GB", {9, 0}},
                                 {0x20b5, "NVIDIA A100 80GB PCIe", {8, 0}},
                                 {0x2235, "NVIDIA A40", {8, 6}},
                                 {0x26b9, "NVIDIA L40S", {8, 9}},
                                 {0x27b8, "NVIDIA L4", {8, 9}},
                                 {0x1eb8, "Tesla T4", {7, 5}},
                                 {0x1db6, "Tesla V100-PCIE-32GB", {7, 0}},
                                 {0x2901, "NVIDIA B200", {10, 0}},
                                 {0x2941, "NVIDIA GB200", {10, 0}},
                                 {0x3182, "NVIDIA B300 SXM6 AC", {10, 3}},
                                 {0x2b85, "NVIDIA GeForce RTX 5090", {12, 0}},
                                 {0x2e12, "NVIDIA GB10", {12, 1}},
                                 {0x2684, "NVIDIA GeForce RTX 4090", {8, 9}},
                                 {0x26b1, "NVIDIA RTX 6000 Ada Generation", {8, 9}},
                                 {0x2204, "NVIDIA GeForce RTX 3090", {8, 6}},
                                 {0x2230, "NVIDIA RTX A6000", {8, 6}}};
  for (const auto& row : rows) {
    INFO(row.model);
    CHECK(capability_of_pci_device(row.device) == row.capability);
    CHECK(capability_of_model(row.model) == row.capability);
  }
  // What is not known is not guessed.
  CHECK_FALSE(capability_of_pci_device(0x5000));
  CHECK_FALSE(capability_of_model("NVIDIA Z999"));
  CHECK_FALSE(capability_of_model("NVIDIA A1000"));
  CHECK(memory_of_model("NVIDIA H100 80GB HBM3") == 80ULL << 30U);
  CHECK_FALSE(memory_of_model("NVIDIA GB200"));
  CHECK_FALSE(memory_of_model("NVIDIA 99999GB"));
}

TEST_CASE("gpu tables: the CUDA that a release for Tegra brings", "[machine]") {
  CHECK(cuda_of_tegra_release("36.4.3") == MajorMinor{12, 6});
  CHECK(cuda_of_tegra_release("36.3.0") == MajorMinor{12, 2});
  CHECK(cuda_of_tegra_release("35.6.1") == MajorMinor{11, 4});
  CHECK_FALSE(cuda_of_tegra_release("99.1"));
}

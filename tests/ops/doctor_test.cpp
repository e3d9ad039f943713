#include "kernels/ops/doctor.h"

#include "doctor_parts.h"
#include "support/catch.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::ops;
using machine::CudaState;
using machine::Detected;
using machine::Gpu;
using machine::GpuVendor;

namespace {

Detected with_gpu(GpuVendor vendor, CudaState cuda) {
  Detected machine;
  machine.gpus = {Gpu{.vendor = vendor}};
  machine.cuda = cuda;
  return machine;
}

Detected with_torch(const char* target, std::optional<MajorMinor> torch_cuda,
                    std::optional<MajorMinor> driver) {
  Detected machine;
  machine.target = *parse_target(target);
  machine.torch_cuda = torch_cuda;
  machine.driver_cuda = driver;
  return machine;
}

Detected divided() {
  auto machine = with_gpu(GpuVendor::nvidia, CudaState::no_gpu);
  machine.gpus[0].mig = true;
  return machine;
}

Detected musl() {
  Detected machine;
  machine.is_musl = true;
  return machine;
}

}  // namespace

TEST_CASE("doctor: what is wrong with a machine, and what is merely absent", "[ops]") {
  struct Row {
    const char* name;
    Detected machine;
    const char* what;  // nullptr: nothing
    Severity severity = Severity::problem;
  };
  auto torch_here = with_gpu(GpuVendor::nvidia, CudaState::usable);
  torch_here.target = *parse_target("torch=2.11");
  auto amd = with_gpu(GpuVendor::amd, CudaState::no_library);
  amd.target = *parse_target("torch=2.11,cuda=13.0");
  const std::vector<Row> rows = {
      {"no GPU", {}, nullptr},
      {"a GPU that works", with_gpu(GpuVendor::nvidia, CudaState::usable), nullptr},
      {"another machine's", with_gpu(GpuVendor::nvidia, CudaState::not_asked), nullptr},
      {"an AMD GPU needs no libcuda", with_gpu(GpuVendor::amd, CudaState::no_library), nullptr},
      {"no library", with_gpu(GpuVendor::nvidia, CudaState::no_library),
       "not the driver's library libcuda.so.1"},
      {"failed", {.cuda = CudaState::failed, .cuda_failure = "cuInit answers 803"}, "cuInit answers 803"},
      {"hidden", with_gpu(GpuVendor::nvidia, CudaState::no_gpu), "shows none of them"},
      {"divided", divided(), "shows none of them"},
      {"a driver without GPU", {.cuda = CudaState::no_gpu}, nullptr},
      {"the same CUDA", with_torch("torch=2.11,cuda=13.0", MajorMinor{13, 0}, MajorMinor{13, 0}), nullptr},
      {"an older CUDA", with_torch("torch=2.8,cuda=11.8", MajorMinor{11, 8}, MajorMinor{13, 0}), nullptr},
      {"a newer minor CUDA", with_torch("torch=2.11,cuda=12.9", MajorMinor{12, 9}, MajorMinor{12, 4}),
       "PTX of this CUDA does not", Severity::note},
      {"a newer major CUDA", with_torch("torch=2.11,cuda=13.0", MajorMinor{13, 0}, MajorMinor{12, 8}),
       "torch is built for CUDA 13.0"},
      {"a torch for the CPU beside a GPU", torch_here, "torch is built for CPU", Severity::note},
      {"a torch for CUDA beside AMD", amd, "there are AMD GPUs", Severity::note},
      {"musl", musl(), "musl"},
      {"an old glibc", with_torch("glibc=2.17", std::nullopt, std::nullopt), "glibc is 2.17"},
      {"glibc 2.28", with_torch("glibc=2.28", std::nullopt, std::nullopt), nullptr},
      {"no GIL", with_torch("torch=2.11,python=3.14t", std::nullopt, std::nullopt), "without the GIL"},
      {"no GIL, with a stable ABI", with_torch("torch=2.11,python=3.15t", std::nullopt, std::nullopt),
       nullptr},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    auto findings = machine_findings(row.machine);
    if (row.what == nullptr) {
      CHECK(findings.empty());
      continue;
    }
    REQUIRE(findings.size() == 1);
    CHECK_THAT(findings[0].what, test::contains(row.what));
    CHECK(findings[0].severity == row.severity);
    CHECK_FALSE(findings[0].fix.empty());
  }
}

TEST_CASE("doctor: a proxy is shown without user and password, however it is written", "[ops]") {
  CHECK(without_user_info("http://ada:secret@proxy:3128") == "http://proxy:3128");
  CHECK(without_user_info("ada:secret@proxy:3128") == "proxy:3128");
  CHECK(without_user_info("http://ada:p@ss@proxy:3128/") == "http://proxy:3128/");
  CHECK(without_user_info("socks5h://proxy:1080") == "socks5h://proxy:1080");
  CHECK(without_user_info("localhost,.example") == "localhost,.example");
  CHECK(without_user_info("") == "");
}

TEST_CASE("doctor: file systems have names", "[ops]") {
  CHECK(file_system_name(0xef53) == "ext4");
  CHECK(file_system_name(0x6969) == "nfs");
  CHECK(file_system_name(0x794c7630) == "overlay");
  CHECK(file_system_name(0x12345) == "0x12345");
}

TEST_CASE("doctor: what a cache lacks is said with a way out", "[ops]") {
  CacheReport cache{.folder = "/c", .writable = Works::yes, .locks = Works::no, .symlinks = Works::yes};
  auto notes = cache_findings(cache);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].severity == Severity::note);
  cache = {.folder = "/c", .free_bytes = 1, .symlinks = Works::no, .renames = Works::no};
  auto problems = cache_findings(cache);
  REQUIRE(problems.size() == 3);
  CHECK(problems[0].severity == Severity::problem);
  CHECK(cache_findings({.folder = "/c"}).empty());
}

TEST_CASE("doctor: trying a cache leaves no folder behind that was not there", "[ops]") {
  test::TempFolder folder;
  hub::Settings settings;
  settings.cache = folder / "a/b/c";
  auto report = try_cache(settings);
  CHECK(report.writable == Works::yes);
  CHECK(report.locks == Works::yes);
  CHECK(std::filesystem::is_empty(folder.path()));
  std::filesystem::create_directories(settings.cache);
  CHECK(try_cache(settings).exists);
  CHECK(std::filesystem::is_directory(settings.cache));
  CHECK(std::filesystem::is_empty(settings.cache));
}

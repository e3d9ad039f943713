#include "kernels/bundle/write.h"

#include <algorithm>

#include <sys/stat.h>

#include "kernels/bundle/read.h"
#include "kernels/cache/verified.h"
#include "kernels/ops/bundle.h"

#include "sample.h"
#include "support/catch.h"

using namespace kernels;
using namespace kernels::test;
namespace fs = std::filesystem;

namespace {

const EventSink kNoEvents = [](const Event&) {};

Result<bundle::PackReport> pack(const Sample& sample, const TempFolder& temp,
                                const std::string& name = "k.tar.zst") {
  return bundle::write_bundle(sample.request(temp / "contents", temp / name), {});
}

/// Collects blobs.
class Collecting final : public bundle::BlobSink {
 public:
  Status begin(const bundle::Entry& /*blob*/) override {
    current.clear();
    return {};
  }
  Status data(std::span<const std::byte> bytes) override {
    current.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }
  Status end(const bundle::Entry& blob) override {
    blobs[blob.sha256] = current;
    return {};
  }
  std::map<std::string, std::string> blobs;
  std::string current;
};

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(folder))
    out.push_back(entry.path().filename().string());
  std::ranges::sort(out);
  return out;
}

}  // namespace

TEST_CASE("bundle: what was packed is read back, byte for byte", "[bundle]") {
  TempFolder temp;
  Sample sample;
  auto packed = pack(sample, temp);
  if (!packed) FAIL(packed.error().text());
  auto bundle = bundle::Bundle::open(temp / "k.tar.zst");
  if (!bundle) FAIL(bundle.error().text());
  CHECK((*bundle)->lock_text() == sample.lock_text);
  CHECK((*bundle)->sum_text() == sample.sum_text);
  CHECK((*bundle)->trusted_root() == sample.root);
  CHECK((*bundle)->index() == packed->index);
  Collecting sink;
  REQUIRE((*bundle)->read_blobs(sink, {}));
  CHECK(sink.blobs == sample.contents);
}

TEST_CASE("bundle: the archive is the one that any tar writer makes of these entries", "[bundle]") {
  TempFolder temp;
  Sample sample;
  auto packed = pack(sample, temp);
  REQUIRE(packed);
  sample.index = packed->index;
  CHECK(unzstd(*read_file(temp / "k.tar.zst")) == sample.archive());
}

TEST_CASE("bundle: the same content gives the same bytes, in whatever order and place it comes", "[bundle]") {
  TempFolder one;
  TempFolder other;
  Sample sample;
  REQUIRE(pack(sample, one));
  auto request = sample.request(other / "elsewhere", other / "k.tar.zst");
  std::ranges::reverse(request.kernels[0].files);
  auto before = ::umask(077);
  REQUIRE(bundle::write_bundle(request, {}));
  ::umask(before);
  CHECK(*read_file(one / "k.tar.zst") == *read_file(other / "k.tar.zst"));
}

TEST_CASE("bundle: equal contents are stored once, alike ones are neighbours", "[bundle]") {
  TempFolder temp;
  Sample sample;
  auto packed = pack(sample, temp);
  REQUIRE(packed);
  CHECK(packed->index.entries.size() == 3 + 5);  // six files, of which two are the same
  std::vector<std::size_t> libraries;
  for (std::size_t i = 3; i < packed->index.entries.size(); ++i)
    if (sample.contents.at(packed->index.entries[i].sha256).starts_with("library")) libraries.push_back(i);
  REQUIRE(libraries.size() == 2);
  CHECK(libraries[1] == libraries[0] + 1);
}

TEST_CASE("bundle: content that is not the locked one is never packed", "[bundle]") {
  TempFolder temp;
  Sample sample;
  auto request = sample.request(temp / "contents", temp / "k.tar.zst");
  put(temp / "k.tar.zst", "what was there");
  auto kind = GENERATE(std::string(".so"), std::string(".py"));
  for (const auto& source : request.kernels[0].files) {
    if (!source.entry.path.str().ends_with(kind)) continue;
    put(source.content, std::string(source.entry.size, '?'));
  }
  auto packed = bundle::write_bundle(request, {});
  REQUIRE_FALSE(packed);
  CHECK(packed.error().code() == Errc::integrity);
  CHECK_THAT(packed.error().text(), contains("expected content with the hash"));
  CHECK(*read_file(temp / "k.tar.zst") == "what was there");
  CHECK(names_in(temp.path()) == std::vector<std::string>{"contents", "k.tar.zst"});
}

TEST_CASE("bundle: content that is missing or of another size is named", "[bundle]") {
  TempFolder temp;
  Sample sample;
  auto request = sample.request(temp / "contents", temp / "k.tar.zst");
  const auto& library = *std::ranges::find_if(
      request.kernels[0].files, [](const auto& source) { return source.entry.path.str().ends_with(".so"); });
  SECTION("missing") {
    fs::remove(library.content);
    CHECK(bundle::write_bundle(request, {}).error().code() == Errc::not_found);
  }
  SECTION("longer") {
    put(library.content, *read_file(library.content) + "x");
    CHECK(bundle::write_bundle(request, {}).error().code() == Errc::integrity);
  }
  CHECK(names_in(temp.path()) == std::vector<std::string>{"contents"});
}

TEST_CASE("bundle: large and empty files pass, and files of every size around a block", "[bundle]") {
  TempFolder temp;
  Sample sample;
  std::string noise(9 << 20, '\0');
  std::uint64_t state = 1;
  for (auto& letter : noise)
    letter = static_cast<char>((state = state * 6364136223846793005ULL + 1442695040888963407ULL) >> 56);
  sample.files["build/torch-cpu/large.so"] = noise;
  sample.files["build/torch-cpu/empty.py"] = "";
  for (std::size_t size : {1UZ, 511UZ, 512UZ, 513UZ, 1048575UZ, 1048576UZ, 1048577UZ})
    sample.files["build/torch-cuda/s" + std::to_string(size) + ".so"] = noise.substr(size, size);
  sample.make_lock();
  sample.make_index();
  REQUIRE(pack(sample, temp));
  auto report = ops::import_bundle(cache::Layout(temp / "cache", temp / "state"), temp / "k.tar.zst",
                                   {.durable = Durable::yes}, kNoEvents, {});
  if (!report) FAIL(report.error().text());
  auto snapshot = temp / "cache/kernels--acme--relu/snapshots" / std::string(40, 'a');
  for (const auto& [path, content] : sample.files)
    CHECK(*read_file(snapshot / path) == content);
}

TEST_CASE("import: a bundle gives blobs, relative links, a record and refs; a second time nothing",
          "[bundle]") {
  TempFolder temp;
  Sample sample;
  REQUIRE(pack(sample, temp));
  cache::Layout layout(temp / "cache", temp / "state");
  auto take = [&] {
    return ops::import_bundle(layout, temp / "k.tar.zst", {.durable = Durable::no}, kNoEvents, {});
  };
  auto first = take();
  if (!first) FAIL(first.error().text());
  CHECK(first->written_blobs == 5);
  const auto& kernel = sample.lock.kernels[0];
  CHECK(cache::read_ref(layout, kernel.repo, "v1") == kernel.commit);
  auto record = cache::VerifiedRecord::load(layout, kernel.repo);
  for (const auto& file : sample.index.kernels[0].files) {
    auto link = layout.snapshot(kernel.repo, kernel.commit) / file.entry.path.str();
    CHECK(fs::read_symlink(link) == cache::link_target(file.entry.path, file.entry.blob));
    auto blob = layout.blob(kernel.repo, file.entry.blob);
    CHECK(record.is_verified(file.entry.blob, *file_stamp(blob)));
    CHECK(fs::hard_link_count(blob) == 1);
  }
  CHECK(names_in(temp / "cache/.kernels-v1") == std::vector<std::string>{"verified"});
  auto second = take();
  REQUIRE(second);
  CHECK(second->written_blobs == 0);
}

TEST_CASE("import: a damaged blob of the cache is replaced by that of the bundle", "[bundle]") {
  TempFolder temp;
  Sample sample;
  REQUIRE(pack(sample, temp));
  cache::Layout layout(temp / "cache", temp / "state");
  auto take = [&] {
    return ops::import_bundle(layout, temp / "k.tar.zst", {.durable = Durable::no}, kNoEvents, {});
  };
  REQUIRE(take());
  const auto& file = sample.index.kernels[0].files[0];
  auto blob = layout.blob(sample.lock.kernels[0].repo, file.entry.blob);
  put(blob, std::string(file.entry.size, '?'));
  auto again = take();
  REQUIRE(again);
  CHECK(again->written_blobs == 1);
  CHECK(*read_file(blob) == sample.contents.at(file.sha256));
}

TEST_CASE("import: a bundle that is stopped leaves nothing", "[bundle]") {
  TempFolder temp;
  Sample sample;
  REQUIRE(pack(sample, temp));
  std::stop_source stop;
  stop.request_stop();
  auto report = ops::import_bundle(cache::Layout(temp / "cache", temp / "state"), temp / "k.tar.zst",
                                   {.durable = Durable::no}, kNoEvents, stop.get_token());
  REQUIRE_FALSE(report);
  CHECK(report.error().code() == Errc::interrupted);
  CHECK(names_in(temp / "cache/.kernels-v1").empty());
}

TEST_CASE("import: what an import that was killed left behind is removed after an hour", "[bundle]") {
  TempFolder temp;
  Sample sample;
  REQUIRE(pack(sample, temp));
  put(temp / "cache/.kernels-v1/incoming-0000old0/x", "x");
  put(temp / "cache/.kernels-v1/incoming-0000new0/x", "x");
  fs::last_write_time(temp / "cache/.kernels-v1/incoming-0000old0",
                      fs::file_time_type::clock::now() - std::chrono::hours(2));
  REQUIRE(ops::import_bundle(cache::Layout(temp / "cache", temp / "state"), temp / "k.tar.zst",
                             {.durable = Durable::no}, kNoEvents, {}));
  CHECK(names_in(temp / "cache/.kernels-v1") == std::vector<std::string>{"incoming-0000new0", "verified"});
}

TEST_CASE("bundle: listing reads the front only, and needs no right to write", "[bundle]") {
  TempFolder temp;
  Sample sample;
  REQUIRE(pack(sample, temp));
  auto contents = ops::list_bundle(temp / "k.tar.zst");
  REQUIRE(contents);
  CHECK(contents->files == 6);
  CHECK(contents->blobs == 5);
  REQUIRE(contents->kernels.size() == 1);
  REQUIRE(contents->kernels[0].variants.size() == 2);
  CHECK(contents->kernels[0].variants[0].name == "torch-cpu");
  CHECK(contents->kernels[0].variants[0].files == 3);
  CHECK_FALSE(contents->kernels[0].variants[0].is_signed);
}

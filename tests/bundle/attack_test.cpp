// The numbered attacks on bundles. Each hostile file is honest in everything but the one thing, so that the
// rule that is named is the one that refuses it.

#include <random>

#include "kernels/ops/bundle.h"

#include "sample.h"
#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;
using namespace kernels::test;
namespace fs = std::filesystem;

namespace {

const std::string kVictim = "/etc/passwd";

std::vector<std::string> everything_below(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code code;
  for (fs::recursive_directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    if (!it->is_directory() || it->is_symlink())
      out.push_back(it->path().lexically_relative(folder).string());
  return out;
}

Result<ops::BundleImportReport> take(const TempFolder& temp, const std::string& bytes,
                                     const ops::BundleImportOptions& options = {.durable = Durable::no}) {
  put(temp / "k.tar.zst", bytes);
  return ops::import_bundle(cache::Layout(temp / "cache", temp / "state"), temp / "k.tar.zst", options,
                            [](const Event&) {}, {});
}

/// The file is refused by that rule, in one line that names it, and nothing of it is in the cache.
void check_refused(const std::string& bytes, const std::string& rule) {
  TempFolder temp;
  auto report = take(temp, bytes);
  REQUIRE_FALSE(report);
  INFO(report.error().text());
  CHECK(report.error().code() == Errc::integrity);
  CHECK_THAT(report.error().text(), contains("(rule " + rule + ")"));
  CHECK_THAT(report.error().text(), contains("k.tar.zst`"));
  CHECK_THAT(report.error().text(), contains(": expected "));
  CHECK_THAT(report.error().text(), contains(", found "));
  CHECK(report.error().text().find('\n') == std::string::npos);
  CHECK(everything_below(temp / "cache").empty());
  // The other readers refuse it too.
  CHECK_FALSE(ops::verify_bundle(temp / "k.tar.zst", [](const Event&) {}, {}));
}

/// The sample's entries with one change.
std::string changed(const std::function<void(std::vector<TarEntry>&)>& change) {
  auto entries = Sample().entries();
  change(entries);
  return zstd_frame(write_tar(entries));
}

/// An archive of the size that the index asks for, in which `hidden` stands before the last blob. What it
/// takes is saved at the end, which some readers do not miss.
std::string with_hidden(const std::string& hidden) {
  auto entries = Sample().entries();
  std::string out;
  for (std::size_t i = 0; i < entries.size(); ++i)
    out += (i + 1 == entries.size() ? hidden : std::string()) + tar_entry(entries[i]);
  REQUIRE(hidden.size() <= 1024);
  return zstd_frame(out + std::string(1024 - hidden.size(), '\0'));
}

}  // namespace

TEST_CASE("attack: the honest bundle, from which the hostile ones are made, is taken", "[bundle]") {
  TempFolder temp;
  auto report = take(temp, zstd_frame(Sample().archive()));
  if (!report) FAIL(report.error().text());
  CHECK(report->written_blobs == Sample().contents.size());
}

TEST_CASE("attack 81: a bundle with a symbolic link is refused", "[bundle]") {
  check_refused(changed([](auto& entries) {
                  entries.back().type = '2';
                  entries.back().link = kVictim;
                }),
                "entry-type");
  check_refused(changed([](auto& entries) {  // with the content left out, as links have none
                  entries.back() = {.name = entries.back().name, .type = '2', .link = "../../x"};
                }),
                "entry-type");
}

TEST_CASE("attack 82: a bundle with a hard link is refused", "[bundle]") {
  check_refused(changed([](auto& entries) {
                  entries.back().type = '1';
                  entries.back().link = entries[4].name;
                }),
                "entry-type");
}

TEST_CASE("attack 83: a bundle with a device, a FIFO, a folder or an unknown type is refused", "[bundle]") {
  for (char type : {'3', '4', '5', '6', '7', 'A', 'X', '\0'}) {
    CAPTURE(type);
    check_refused(changed([&](auto& entries) { entries.back().type = type; }), "entry-type");
  }
}

TEST_CASE("attack 84: a bundle with a setuid, setgid, sticky or executable file is refused", "[bundle]") {
  for (unsigned mode : {04755U, 04644U, 02644U, 01644U, 0755U, 0666U, 0U}) {
    CAPTURE(mode);
    check_refused(changed([&](auto& entries) { entries.back().mode = mode; }), "entry-mode");
  }
  check_refused(changed([](auto& entries) { entries.back().uid = 1000; }), "entry-owner");
  check_refused(changed([](auto& entries) { entries.back().uname = "root"; }), "entry-owner");
  check_refused(changed([](auto& entries) { entries.back().mtime = 0; }), "entry-time");
}

TEST_CASE("attack 85: a PAX size that contradicts the ustar size is refused", "[bundle]") {
  // Readers that take the one or the other size see other entries behind it.
  for (const char* size : {"0", "1", "512", "99999999999"}) {
    check_refused(with_hidden(pax_entry('x', {{"size", size}})), "entry-format");
    check_refused(with_hidden(pax_entry('g', {{"size", size}})), "entry-format");
  }
  check_refused(
      changed([](auto& entries) { entries.back().stated_size = entries.back().content.size() - 1; }),
      "archive-form");
  check_refused(changed([](auto& entries) { entries.back().stated_size = 1U << 30; }), "entry-size");
}

TEST_CASE("attack 86: a GNU long name or a PAX path beside the name is refused", "[bundle]") {
  auto long_name =
      tar_entry({.name = "././@LongLink", .content = std::string("/tmp/evil\0", 10), .type = 'L'});
  check_refused(with_hidden(long_name), "entry-format");
  check_refused(with_hidden(pax_entry('x', {{"path", "../evil"}})), "entry-format");
  check_refused(with_hidden(tar_entry({.name = "././@LongLink", .content = "x", .type = 'K'})),
                "entry-format");
  // Two at once, more than the end of the archive has room for: the size gives it away.
  auto entries = Sample().entries();
  check_refused(zstd_frame(pax_entry('x', {{"path", "../evil"}}) + long_name + write_tar(entries)),
                "entry-format");
  // A name in two parts, which ustar joins and older readers do not.
  check_refused(changed([](auto& all) { all.back().prefix = ".."; }), "entry-header");
}

TEST_CASE("attack 87: an entry that occurs twice, or in place of another, is refused", "[bundle]") {
  Sample sample;
  sample.files["build/torch-cpu/other.so"] = std::string(5000, 'y');
  sample.files["build/torch-cuda/other.so"] = std::string(5000, 'z');  // as long, so that the sizes fit
  sample.make_lock();
  sample.make_index();
  auto entries = sample.entries();
  auto first = std::ranges::find(entries, std::string(5000, 'y'), &TarEntry::content);
  auto second = std::ranges::find(entries, std::string(5000, 'z'), &TarEntry::content);
  REQUIRE(second != entries.end());
  SECTION("twice") {
    *second = *first;
    check_refused(zstd_frame(write_tar(entries)), "entry-order");
  }
  SECTION("under the name of another") {
    second->content = first->content;
    check_refused(zstd_frame(write_tar(entries)), "entry-content");
  }
  SECTION("in another order") {
    std::swap(*first, *second);
    check_refused(zstd_frame(write_tar(entries)), "entry-order");
  }
  SECTION("twice in the index") {
    sample.index.entries.push_back(sample.index.entries.back());
    check_refused(zstd_frame(sample.archive()), "index-entries");
  }
}

TEST_CASE("attack 88: a sparse file is refused, in all forms that tar has for it", "[bundle]") {
  check_refused(changed([](auto& entries) {
                  entries.back().type = 'S';
                  entries.back().magic = std::string("ustar  \0", 8);
                }),
                "entry-format");
  check_refused(changed([](auto& entries) { entries.back().type = 'S'; }), "entry-format");
  check_refused(with_hidden(pax_entry('x', {{"GNU.sparse.major", "1"},
                                            {"GNU.sparse.minor", "0"},
                                            {"GNU.sparse.realsize", "1099511627776"}})),
                "entry-format");
}

TEST_CASE("attack 89: data behind the end, or a second archive, is refused", "[bundle]") {
  auto archive = Sample().archive();
  auto frame = zstd_frame(archive);
  check_refused(frame + "x", "frame-single");
  check_refused(frame + frame, "frame-single");
  check_refused(frame + std::string(512, '\0'), "frame-single");
  check_refused(zstd_frame(archive + archive), "archive-form");
  check_refused(zstd_frame(archive + std::string(512, '\0')), "archive-form");
  check_refused(zstd_frame(archive.substr(0, archive.size() - 512)), "archive-size");
  check_refused(changed([](auto& entries) { entries.back().padding = 'x'; }), "archive-form");
  // An end in the middle: some readers stop there, others go on.
  auto entries = Sample().entries();
  std::string early;
  for (std::size_t i = 0; i < entries.size(); ++i)
    early += (i + 1 == entries.size() ? tar_end() : std::string()) + tar_entry(entries[i]);
  check_refused(zstd_frame(early), "archive-form");
  std::string half;
  for (std::size_t i = 0; i < entries.size(); ++i)
    half += (i + 1 == entries.size() ? std::string(512, '\0') : std::string()) + tar_entry(entries[i]);
  check_refused(zstd_frame(half + std::string(512, '\0')), "archive-form");
}

TEST_CASE("attack 90: several frames, and windows that take much memory, are refused", "[bundle]") {
  auto archive = Sample().archive();
  auto middle = archive.size() / 2;
  check_refused(zstd_frame(archive.substr(0, middle)) + zstd_frame(archive.substr(middle)), "frame-single");
  auto skippable = std::string("\x50\x2a\x4d\x18\x04\0\0\0junk", 12);
  check_refused(skippable + zstd_frame(archive), "frame-magic");
  check_refused(zstd_frame(archive) + skippable, "frame-single");
  check_refused(zstd_frame(archive, {.checksum = false}), "frame-form");
  check_refused(zstd_frame(archive, {.states_size = false}), "frame-form");
  check_refused(zstd_zeros(1, 128 << 10, 0xff), "frame-window");     // 3.75 TiB
  check_refused(zstd_zeros(1, 128 << 10, 18 << 3), "frame-window");  // 256 MiB
  check_refused(zstd_frame(zstd_frame(archive)), "entry-format");
  check_refused(archive, "frame-magic");
  check_refused("", "frame-magic");
}

TEST_CASE("attack 91: a bomb is refused before anything of it is unpacked", "[bundle]") {
  check_refused(zstd_zeros(1 << 14, 2ULL << 30, 17 << 3), "frame-ratio");
  check_refused(zstd_zeros(1, 1ULL << 62, 17 << 3), "frame-ratio");
  // A frame that states less than it holds, and one that states more.
  auto frame = zstd_frame(Sample().archive());
  for (int step : {-1, 1}) {  // two bytes of size stand behind the descriptor
    auto lying = frame;
    lying[5] = static_cast<char>(lying[5] + step);
    check_refused(lying, "frame-content");
  }
  check_refused(zstd_zeros(1 << 14, 1000, 17 << 3), "frame-content");
  // The index promises more than there is.
  Sample sample;
  sample.index.entries.back().size += 512;
  for (auto& file : sample.index.kernels[0].files)
    if (file.sha256 == sample.index.entries.back().sha256) file.entry.size += 512;
  check_refused(zstd_frame(sample.archive()), "archive-size");
}

TEST_CASE("attack 92: an entry behind a folder that became a link has no way in", "[bundle]") {
  // An entry is `blobs/<hash>` and nothing else: `blobs` can be made a link neither before nor after.
  check_refused(changed([](auto& entries) {
                  entries[4].name = "blobs";
                  entries[4].type = '2';
                  entries[4].link = "/tmp";
                }),
                "entry-type");
  for (const char* name :
       {"blobs/../../evil", "/etc/passwd", "blobs", "blobs/x/y", ".", "", "kernels.lock"}) {
    CAPTURE(name);
    check_refused(changed([&](auto& entries) { entries.back().name = name; }), "entry-order");
  }
  // And what is a link in the cache, where a blob will be, is replaced and not written through.
  TempFolder temp;
  Sample sample;
  auto blobs = temp / "cache/kernels--acme--relu/blobs";
  put(temp / "victim", "untouched");
  fs::create_directories(blobs);
  for (const auto& file : sample.index.kernels[0].files)
    if (!fs::is_symlink(blobs / file.entry.blob.str()))
      fs::create_symlink(temp / "victim", blobs / file.entry.blob.str());
  auto report = take(temp, zstd_frame(sample.archive()));
  REQUIRE(report);
  CHECK(*read_file(temp / "victim") == "untouched");
  for (const auto& file : sample.index.kernels[0].files) {
    CHECK_FALSE(fs::is_symlink(blobs / file.entry.blob.str()));
    CHECK(*read_file(blobs / file.entry.blob.str()) == sample.contents.at(file.sha256));
  }
}

TEST_CASE("bundle: an index that does not agree with the lock in the bundle is refused", "[bundle]") {
  Sample sample;
  SECTION("a file that the lock does not have") {
    sample.files["build/torch-cpu/extra.py"] = "print('extra')\n";
    sample.make_index();
    check_refused(zstd_frame(sample.archive()), "lock-index");
  }
  SECTION("other content for a file of the lock") {
    sample.files["build/torch-cpu/_relu.so"] += "backdoor";
    sample.make_index();
    check_refused(zstd_frame(sample.archive()), "lock-index");
  }
  SECTION("other content of the same size") {
    sample.files["build/torch-cpu/_relu.so"].back() = 'y';
    sample.make_index();
    check_refused(zstd_frame(sample.archive()), "lock-index");
  }
  SECTION("another commit, branch or repository") {
    auto& kernel = sample.index.kernels[0];
    auto which = GENERATE(0, 1, 2);
    if (which == 0) kernel.commit = *Commit::parse(std::string(40, 'b'));
    if (which == 1) kernel.ref = "main";
    if (which == 2) kernel.repo = *RepoId::parse("acme/gelu");
    check_refused(zstd_frame(sample.archive()), "lock-index");
  }
  SECTION("half of a variant") {
    sample.files.erase("build/torch-cpu/metadata.json");
    sample.make_index();
    check_refused(zstd_frame(sample.archive()), "variant-whole");
  }
  SECTION("a sum that belongs to another lock") {
    sample.lock_text += "\n";
    sample.make_entries();
    check_refused(zstd_frame(sample.archive()), "lock-sum");
  }
  SECTION("a blob of git's name that has other bytes") {
    // The SHA-256 of the index is that of the content, but the lock knows the file by git's hash.
    auto& file = sample.files["build/torch-cpu/__init__.py"];
    auto honest = file;
    file.back() = ' ';
    auto entry = Sample::entry_of("build/torch-cpu/__init__.py", honest);
    sample.make_index();
    for (auto& item : sample.index.kernels[0].files)
      if (item.entry.path == entry.path) item.entry.blob = entry.blob;
    check_refused(zstd_frame(sample.archive()), "entry-content");
  }
}

TEST_CASE("bundle: a flipped bit is refused, or what is unpacked is the same", "[bundle]") {
  auto frame = zstd_frame(Sample().archive());
  auto honest = unzstd(frame);
  std::mt19937_64 random(seed());
  std::size_t refused = 0;
  constexpr std::size_t kFlips = 300;
  for (std::size_t i = 0; i < kFlips; ++i) {
    auto bad = frame;
    auto bit = random() % (8 * bad.size());
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    TempFolder temp;
    CAPTURE(bit);
    if (take(temp, bad)) {
      CHECK(unzstd(bad) == honest);
      continue;
    }
    ++refused;
    CHECK(everything_below(temp / "cache").empty());
  }
  CHECK(refused > kFlips * 9 / 10);
}

TEST_CASE("bundle: every truncation is refused", "[bundle]") {
  auto frame = zstd_frame(Sample().archive());
  for (std::size_t size = 0; size < frame.size(); size += 1 + frame.size() / 50) {
    CAPTURE(size);
    check_refused(frame.substr(0, size), size < 4 ? "frame-magic" : "frame-single");
  }
}

TEST_CASE("bundle: a variant that the rules refuse leaves nothing of the bundle in the cache", "[bundle]") {
  TempFolder temp;
  ops::BundleImportOptions options{
      .durable = Durable::no,
      .signatures = ops::SignatureRules::make(
                        {.policies = {SignaturePolicy::require}, .signers = {}, .trusted_root = {}})
                        .value()};
  auto report = take(temp, zstd_frame(Sample().archive()), options);
  REQUIRE_FALSE(report);
  CHECK(report.error().code() == Errc::untrusted);
  CHECK_THAT(report.error().text(), contains("torch-cpu"));
  CHECK_THAT(report.error().text(), contains("SignatureBundleMissing"));
  CHECK(everything_below(temp / "cache").empty());
}

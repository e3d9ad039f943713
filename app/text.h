#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kernels::app {

/// `34.5 MiB`, `812 B`.
std::string human_bytes(std::uint64_t bytes);
/// `0.12 s`, `3 min 5 s`.
std::string human_duration(std::chrono::milliseconds time);
/// `1 file`, `2 files`.
std::string counted(std::uint64_t number, std::string_view noun);

/// Columns padded to the widest cell, two blanks between them, no trailing blanks. The first row is the
/// header.
std::string table(const std::vector<std::vector<std::string>>& rows);

/// What tables are made for: wider lines are tiring to read, and a terminal of 100 columns is common.
constexpr std::size_t kTableColumns = 100;

/// The same within a number of columns of the terminal: the widest columns are narrowed and their cells go on
/// in further lines, broken at blanks where there are any. A line break in a cell stays one. Nothing is cut
/// off; only a table of very many columns is wider.
std::string table_within(std::size_t columns, const std::vector<std::vector<std::string>>& rows);

/// Text of others, which may be hostile, on one line: control characters become `?`.
std::string plain(std::string_view text);
/// Words of others, each plain, with `between` between them.
std::string plain_words(const std::vector<std::string>& words, std::string_view between = ", ");

/// Cells that a terminal needs for UTF-8 text in which every character is one column wide.
std::size_t display_width(std::string_view text);

}  // namespace kernels::app

//! Which hours share a row group. Pure.
//!
//! A row group costs its writer and its readers about the same whether it has a hundred rows or thousands: a compressor
//! and a dictionary for each column, statistics, indexes. So small hours share one. A day is cut in halves, quarters,
//! three hours, hours and so on, and no further than until a piece has few rows: that piece is a row group. A large hour
//! is alone.
//!
//! What shares a row group depends on the rows alone, never on how they came: the same rows give the same file. And an
//! hour that changes concerns its own piece only, unless that grows too large.

use crate::time::Instant;

/// Rows of hours that share a row group at most.
///
/// The smallest change encodes so many at most. Other numbers were not compared.
pub(super) const SHARED_ROWS: u64 = 16 * 1024;

/// The lengths of pieces in seconds: each is a whole number of the next, and a day is one of the first.
const LENGTHS: [i64; 9] = [86_400, 43_200, 21_600, 10_800, 3_600, 1_800, 900, 60, 1];

/// Puts hours that come in order into row groups. `T` is an hour's rows, or those of several hours that were a row group
/// before.
#[derive(Debug)]
pub(super) struct Blocks<T> {
    /// What is in no row group yet: its second, its rows.
    waiting: Vec<(i64, u64, T)>,
    /// The rows of these.
    rows: u64,
    /// The last second that is in a row group.
    taken: Option<i64>,
}

impl<T> Default for Blocks<T> {
    fn default() -> Blocks<T> {
        Blocks { waiting: Vec::new(), rows: 0, taken: None }
    }
}

impl<T> Blocks<T> {
    /// Adds what comes after all that was added before, with `from` as its first hour; gives the row groups that are
    /// complete by that, in order. At most the rows of one row group wait, and those of `item`.
    pub(super) fn add(&mut self, from: Instant, rows: u64, item: T) -> Vec<Vec<T>> {
        self.waiting.push((from.timestamp(), rows, item));
        self.rows += rows;
        let mut complete = Vec::new();
        while let Some(count) = self.first_complete() {
            complete.push(self.take(count));
        }
        complete
    }

    /// The last row group; nothing where nothing waits.
    pub(super) fn rest(&mut self) -> Vec<T> {
        self.take(self.waiting.len())
    }

    /// The longest piece with `first` in it that has nothing of a row group before: a piece that has was too large.
    fn longest(&self, first: i64) -> i64 {
        let is_free = |length: &&i64| self.taken.is_none_or(|taken| piece(taken, **length) != piece(first, **length));
        LENGTHS.iter().find(is_free).copied().unwrap_or(1)
    }

    /// How many of the first that wait are a row group; `None` where more may come to it.
    ///
    /// The last is what came just now, and what waited before it was not too much. So a piece without the last is
    /// complete, and where all is too much, every piece that holds both ends is too large.
    fn first_complete(&self) -> Option<usize> {
        let ((first, ..), (last, ..)) = (self.waiting.first()?, self.waiting.last()?);
        let longest = self.longest(*first);
        let parts = |length: i64| piece(*first, length) != piece(*last, length);
        let length = if parts(longest) {
            longest
        } else if self.rows > SHARED_ROWS {
            // What cannot be parted, as a large hour, is a row group too.
            LENGTHS.iter().copied().find(|length| *length <= longest && parts(*length)).unwrap_or(1)
        } else {
            return None;
        };
        Some(self.waiting.iter().take_while(|(second, ..)| piece(*second, length) == piece(*first, length)).count())
    }

    fn take(&mut self, count: usize) -> Vec<T> {
        let taken: Vec<(i64, u64, T)> = self.waiting.drain(..count).collect();
        self.rows -= taken.iter().map(|(_, rows, _)| rows).sum::<u64>();
        self.taken = taken.last().map(|(second, ..)| *second).or(self.taken);
        taken.into_iter().map(|(.., item)| item).collect()
    }
}

/// Which of the pieces of a length a second is in.
fn piece(second: i64, length: i64) -> i64 {
    second.div_euclid(length)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    /// Quarters of an hour since midnight, with their rows.
    type Hours = Vec<(i64, u64)>;

    fn grouped(hours: &[(i64, u64)]) -> Vec<Vec<i64>> {
        let mut blocks = Blocks::default();
        let mut groups = Vec::new();
        for (quarter, rows) in hours {
            let hour = DateTime::from_timestamp(1_764_201_600 + quarter * 900, 0).expect("an instant");
            groups.extend(blocks.add(hour, *rows, *quarter));
            let held: u64 = blocks.waiting.iter().map(|(_, rows, _)| rows).sum();
            assert!(held <= SHARED_ROWS && held == blocks.rows, "{held}");
        }
        groups.push(blocks.rest());
        groups.retain(|group| !group.is_empty());
        groups
    }

    /// The rule as it is said: cut what is too large.
    fn cut(hours: &[(i64, u64)], lengths: &[i64]) -> Vec<Vec<i64>> {
        let rows: u64 = hours.iter().map(|(_, rows)| rows).sum();
        match lengths {
            [_, shorter @ ..] if rows > SHARED_ROWS && hours.len() > 1 => hours
                .chunk_by(|one, other| piece(one.0 * 900, shorter[0]) == piece(other.0 * 900, shorter[0]))
                .flat_map(|part| cut(part, shorter))
                .collect(),
            _ => vec![hours.iter().map(|(quarter, _)| *quarter).collect()],
        }
    }

    fn day(rows: u64) -> Hours {
        (0..24).map(|hour| (hour * 4, rows)).collect()
    }

    #[test]
    fn small_days_are_one_row_group_and_large_hours_are_alone() {
        assert_eq!(grouped(&day(600)).len(), 1);
        assert_eq!(grouped(&day(2_000)).iter().map(Vec::len).collect::<Vec<usize>>(), [6, 6, 6, 6]);
        assert_eq!(grouped(&day(20_000)).len(), 24);
        assert_eq!(grouped(&[]), Vec::<Vec<i64>>::new());
    }

    #[test]
    fn a_large_hour_cuts_only_what_it_is_in() {
        let mut hours = day(600);
        hours[13].1 = 16_000;
        let lengths: Vec<usize> = grouped(&hours).iter().map(Vec::len).collect();
        assert_eq!(lengths, [12, 1, 1, 1, 3, 6]);
    }

    fn hours() -> impl Strategy<Value = Hours> {
        let rows = prop_oneof![1_u64..600, 1_u64..9_000, 15_000_u64..40_000];
        btree_map(0_i64..96, rows, 0..96).prop_map(|hours| hours.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_comes_hour_by_hour_is_cut_by_the_rule(hours in hours()) {
            let expected: Vec<Vec<i64>> = if hours.is_empty() { Vec::new() } else { cut(&hours, &LENGTHS) };
            prop_assert_eq!(grouped(&hours), expected);
        }

        /// Row groups of a file before may come whole, as long as they are those that the rule gives.
        #[test]
        fn row_groups_that_come_whole_are_row_groups_again(hours in hours(), changed in 0_i64..96) {
            let whole = grouped(&hours);
            let mut blocks = Blocks::default();
            let mut again = Vec::new();
            for group in whole.iter() {
                let rows_of = |quarter: &i64| hours.iter().find(|(known, _)| known == quarter).map_or(0, |(_, rows)| *rows);
                let pieces: Vec<Vec<i64>> = match group.contains(&changed) {
                    true => group.iter().map(|quarter| vec![*quarter]).collect(),
                    false => vec![group.clone()],
                };
                for piece in pieces {
                    let rows = piece.iter().map(rows_of).sum();
                    let from = DateTime::from_timestamp(1_764_201_600 + piece[0] * 900, 0).expect("an instant");
                    again.extend(blocks.add(from, rows, piece));
                }
            }
            again.push(blocks.rest());
            let again: Vec<Vec<i64>> = again.into_iter().map(|group| group.concat()).filter(|group| !group.is_empty()).collect();
            prop_assert_eq!(again, whole);
        }
    }
}

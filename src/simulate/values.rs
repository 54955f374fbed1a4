//! The numbers of one campaign-hour, and how they are restated as the hour ages.
//!
//! A pure function of (campaign, hour, stage). Values change only when the hour's age, counted from its beginning,
//! passes one of [`MARKS`]; between two marks nothing moves.

use super::dice;

/// Ages in seconds at which an hour's values change: 0, 1h, 3h, 1d, 3d, 7d, 28d.
pub(super) const MARKS: [i64; 7] = [0, 3_600, 10_800, 86_400, 259_200, 604_800, 2_419_200];

/// What is delivered of the final value at each stage, in thousandths. Conversions are attributed late; a part of the
/// spend is credited back at three days.
const IMPRESSIONS: [u64; 7] = [250, 800, 920, 980, 1_000, 1_000, 1_000];
const SPEND: [u64; 7] = [250, 820, 950, 1_000, 985, 985, 980];
const CONVERSIONS: [u64; 7] = [0, 300, 500, 750, 880, 960, 1_000];

/// Thousandths of a campaign's level at each hour of the day: asleep at four, a peak after dinner.
const DAY_SHAPE: [u64; 24] = [
    260, 180, 130, 100, 90, 120, 220, 420, 640, 780, 860, 920, 960, 930, 900, 910, 950, 1_040, 1_180, 1_350, 1_420,
    1_260, 820, 470,
];

/// The stage of an hour at a moment; none before it has begun.
pub(super) fn stage(start: i64, as_of: i64) -> Option<usize> {
    MARKS.iter().rposition(|mark| as_of - start >= *mark)
}

/// What all campaigns share: how rows come and go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) quiet_share: f64,
    pub(super) dense: bool,
    pub(super) epoch: i64,
}

/// What sets a campaign's numbers apart from another's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    pub(super) key: u64,
    /// Impressions in an hour of weight 1000.
    pub(super) level: u64,
    /// Clicks per thousand impressions.
    pub(super) click_rate: u64,
    /// Price of a thousand impressions, in the currency's smallest unit.
    pub(super) price: u64,
    /// Hours by which its day is ahead of UTC.
    pub(super) phase: i64,
}

/// The numbers of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) impressions: u64,
    pub(super) clicks: u64,
    /// In the currency's smallest unit.
    pub(super) spend: u64,
    /// In halves: shared credit comes in steps of 0.5.
    pub(super) conversion_halves: u64,
}

impl Values {
    /// Adds another hour's numbers, as a platform does that files two hours under one label.
    pub(super) fn add(&mut self, other: Self) {
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.spend += other.spend;
        self.conversion_halves += other.conversion_halves;
    }
}

/// The values of a row at a stage; none where the row is absent. Whether it is absent is decided without computing the
/// values, so that a scan over absent rows stays cheap.
pub(super) fn at(rules: &Rules, profile: &Profile, start: i64, stage: usize) -> Option<Values> {
    present(rules, profile.key, start, stage).then(|| values(profile, start, stage))
}

/// Whether a row is there: some campaign-hours have no delivery, a few rows appear late, a few are taken back.
pub(super) fn present(rules: &Rules, campaign: u64, start: i64, stage: usize) -> bool {
    if start < rules.epoch {
        return false;
    }
    if rules.dense {
        return true;
    }
    let row = dice::mix(campaign, start as u64);
    if dice::hits(row, rules.quiet_share) {
        return false;
    }
    match dice::below(dice::mix(row, 1), 100) {
        0..3 => stage >= 2,
        3..5 => stage < 4,
        _ => true,
    }
}

/// The stage at which the row last became what it is at `stage`.
pub(super) fn changed_at(rules: &Rules, profile: &Profile, start: i64, stage: usize) -> usize {
    let current = at(rules, profile, start, stage);
    let mut since = stage;
    while since > 0 && at(rules, profile, start, since - 1) == current {
        since -= 1;
    }
    since
}

fn values(profile: &Profile, start: i64, stage: usize) -> Values {
    let row = dice::mix(profile.key, start as u64);
    let hour_of_day = (start.div_euclid(3_600) + profile.phase).rem_euclid(24) as usize;
    let noise = 700 + dice::below(dice::mix(row, 2), 600);
    let full = (profile.level * DAY_SHAPE[hour_of_day] / 1_000 * noise / 1_000).max(8);
    // Half of the rows have settled after a day, conversions apart.
    let settled = dice::mix(row, 3) & 1 == 0;
    let delivery_stage = if settled { stage.min(3) } else { stage };
    let impressions_share = if settled && stage >= 3 { 1_000 } else { IMPRESSIONS[delivery_stage] };

    let impressions = (full * impressions_share / 1_000).max(1);
    let clicks = impressions * profile.click_rate / 1_000;
    let spend = full * profile.price / 1_000 * SPEND[delivery_stage] / 1_000;
    let full_conversions =
        full * profile.click_rate / 1_000 * dice::below(dice::mix(row, 4), 120) / 1_000 * 2 + (dice::mix(row, 5) & 1);
    let conversion_halves = full_conversions * CONVERSIONS[stage] / 1_000;
    Values { impressions, clicks, spend, conversion_halves }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { quiet_share: 0.15, dense: false, epoch: 0 };
    const PROFILE: Profile = Profile { key: 77, level: 2_000, click_rate: 20, price: 900, phase: 1 };

    fn hours() -> impl Iterator<Item = i64> {
        (0..5_000).map(|hour| 1_790_000_000 - 1_790_000_000 % 3_600 + hour * 3_600)
    }

    #[test]
    fn a_stage_begins_exactly_at_its_mark() {
        assert_eq!(stage(1_000, 999), None);
        for (expected, mark) in MARKS.iter().enumerate() {
            assert_eq!(stage(1_000, 1_000 + mark), Some(expected));
            assert_eq!(stage(1_000, 1_000 + mark - 1), expected.checked_sub(1));
        }
    }

    #[test]
    fn values_grow_and_spend_is_credited_back() {
        let mut credited = 0;
        for start in hours() {
            let at_stage: Vec<Values> = (0..7).map(|stage| values(&PROFILE, start, stage)).collect();
            for pair in at_stage.windows(2) {
                assert!(pair[0].impressions <= pair[1].impressions);
                assert!(pair[0].conversion_halves <= pair[1].conversion_halves);
            }
            credited += usize::from(at_stage[4].spend < at_stage[3].spend);
        }
        assert!(credited > 1_000);
    }

    #[test]
    fn a_share_of_rows_is_absent_late_or_taken_back() {
        let count = |stage| hours().filter(|start| present(&RULES, PROFILE.key, *start, stage)).count();
        let (first, third, last) = (count(0), count(2), count(6));
        assert!((4_000..4_200).contains(&first), "{first}");
        assert!(third > first + 80 && last < third - 50, "{first} {third} {last}");
        let dense = Rules { dense: true, ..RULES };
        assert!(hours().all(|start| present(&dense, PROFILE.key, start, 0)));
    }

    #[test]
    fn the_last_change_is_where_the_values_differ() {
        for start in hours().take(500) {
            let since = changed_at(&RULES, &PROFILE, start, 6);
            let last = at(&RULES, &PROFILE, start, 6);
            assert!((since..7).all(|stage| at(&RULES, &PROFILE, start, stage) == last));
            assert!(since == 0 || at(&RULES, &PROFILE, start, since - 1) != last);
        }
    }
}

//! A coarser, independent report of the platform, and how the lake's sums are compared with it.

use std::time::Duration;

use super::{
    Align, Column, ColumnKind, HourSource, Identity, JsonPath, Manner, Pagination, Pipeline, RecordShape, Records,
    RequestTemplate, WindowRules,
};

/// Daily totals of accounts, with which the lake is compared.
#[derive(Debug, Clone)]
pub struct Reconcile {
    /// The request. It names neither campaigns nor creates anything.
    pub request: RequestTemplate,
    /// How its pages follow each other.
    pub pagination: Pagination,
    /// Where the rows are in a response.
    pub records: Records,
    /// How they become rows.
    pub shape: RecordShape,
    /// Where a row's account is; `None`: the request has one account.
    pub account: Option<JsonPath>,
    /// Where a row's date on the account's clock is.
    pub date: JsonPath,
    /// At most so many days in one request.
    pub days_per_request: u32,
    /// A day is compared once it is over for so long.
    pub settle: Duration,
    /// What is compared, in the file's order.
    pub metrics: Vec<Metric>,
}

/// A column of the lake and its sum over a day in the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// The declared column: int, decimal, micros or cents.
    pub column: String,
    /// Where the report has its sum.
    pub from: JsonPath,
    /// How that is read: int, decimal, micros or cents.
    pub kind: ColumnKind,
    /// Digits after the point with which both are compared: those of the more exact one.
    pub scale: u8,
    /// By how much they may differ.
    pub tolerance: Tolerance,
}

/// By how much two sums may differ. Where both are given, only what is beyond both differs; where none is, everything
/// does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tolerance {
    /// A share of the platform's value, in millionths.
    pub share: Option<u32>,
    /// An amount, in units of the metric's last digit after the point.
    pub amount: Option<u128>,
}

impl Tolerance {
    /// Whether a `difference` from the platform's `value` is within it; both without sign, in units of the last digit.
    pub fn allows(&self, difference: u128, value: u128) -> bool {
        const WHOLE: u128 = 1_000_000;
        let by_share = self.share.map(|share| {
            let share = u128::from(share);
            // Exact, and without the product that could be too large: the difference is whole, so the floor will do.
            (value / WHOLE).saturating_mul(share).saturating_add(value % WHOLE * share / WHOLE)
        });
        difference <= by_share.unwrap_or(0).max(self.amount.unwrap_or(0))
    }
}

impl Pipeline {
    /// The pipeline that reads the report of `[reconcile]`: of the same name, with the same API, quotas and rules for
    /// answers, so that its requests count where the others do. Its rows have no campaign, and the first moment of the
    /// day in the place of an hour. `None` where the file names no report.
    pub fn daily(&self) -> Option<Pipeline> {
        let report = self.reconcile.as_ref()?;
        let column = |metric: &Metric| Column {
            name: metric.column.clone(),
            from: metric.from.clone(),
            kind: metric.kind,
            pick: None,
            default: None,
            required: false,
            manner: self.manner_of(metric),
        };
        Some(Pipeline {
            campaigns: None,
            request: report.request.clone(),
            pagination: report.pagination.clone(),
            records: report.records.clone(),
            shape: report.shape.clone(),
            identity: Identity { account: report.account.clone(), ..Identity::default() },
            hour: HourSource::Date { from: report.date.clone() },
            columns: report.metrics.iter().map(column).collect(),
            dimensions: Vec::new(),
            window: WindowRules { align: Align::AccountDay, size: report.days_per_request, ..self.window.clone() },
            report: None,
            reconcile: None,
            ..self.clone()
        })
    }

    /// What the report's value is done with before it is kept: the same as with the column's, where both are read alike.
    fn manner_of(&self, metric: &Metric) -> Manner {
        let column = self.columns.iter().find(|column| column.name == metric.column && column.kind == metric.kind);
        column.map(|column| column.manner.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_difference_is_allowed_by_either_tolerance() {
        let tolerance = |share, amount| Tolerance { share, amount };
        let half_percent = tolerance(Some(5_000), None);
        assert!(half_percent.allows(5, 1_000) && !half_percent.allows(6, 1_000));
        assert!(half_percent.allows(0, 0) && !half_percent.allows(1, 0));
        assert!(tolerance(None, Some(2)).allows(2, 0) && !tolerance(None, Some(2)).allows(3, 1_000_000));
        assert!(tolerance(Some(5_000), Some(2)).allows(2, 10), "beyond the share only");
        assert!(tolerance(Some(5_000), Some(2)).allows(50, 10_000), "beyond the amount only");
        assert!(!tolerance(Some(5_000), Some(2)).allows(51, 10_000), "beyond both");
        assert!(!Tolerance::default().allows(1, u128::MAX));
        assert!(tolerance(Some(1_000_000), None).allows(u128::MAX - 1_000_000, u128::MAX));
    }

    proptest! {
        #[test]
        fn a_share_is_exact(value in 0u128..1 << 90, share in 0u32..2_000_000, difference in 0u128..1 << 90) {
            let allowed = Tolerance { share: Some(share), amount: None }.allows(difference, value);
            prop_assert_eq!(allowed, difference * 1_000_000 <= value * u128::from(share));
        }
    }
}

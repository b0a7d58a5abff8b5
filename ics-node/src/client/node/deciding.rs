//! The calls about what the node decides, and why.

use ics_core::checker::Case;
use ics_core::trust::Verdict;

use super::{Answer, Node};
use crate::api::{CheckAnswers, CheckQuestions, Explanation};

impl Node {
    /// Whether the node's policy allows a use of a thing.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn verdict(&self, id: &str, usage: &str, peer: Option<&str>) -> Answer<Verdict> {
        let mut query = vec![("id", id), ("use", usage)];
        query.extend(peer.map(|peer| ("peer", peer)));
        self.get(&["verdict"], &query).await
    }

    /// The node's verdict with all that is needed to check it.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn case(&self, id: &str, usage: &str, peer: Option<&str>) -> Answer<Case> {
        let mut query = vec![("id", id), ("use", usage)];
        query.extend(peer.map(|peer| ("peer", peer)));
        self.get(&["verdict", "case"], &query).await
    }

    /// The node's decisions about several uses at once, in the order of the questions.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn checks(&self, questions: &CheckQuestions) -> Answer<CheckAnswers> {
        let answers: CheckAnswers = self.post(&["check"], questions).await?;
        self.one_each((answers.answers.len(), "answers"), (questions.questions.len(), "questions"))?;
        Ok(answers)
    }

    /// Why the node says what it says about an identity; with a use, why it gives its verdict.
    ///
    /// # Errors
    /// See [`Node::info`].
    pub async fn explain(&self, thing: &str, usage: Option<&str>, peer: Option<&str>) -> Answer<Explanation> {
        self.get(&["explain"], &[("id", Some(thing)), ("use", usage), ("peer", peer)]).await
    }
}
